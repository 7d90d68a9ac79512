"""Specifications of sessions, for `Client.create`. Times are in milliseconds; every field can be given by its name in the API."""

from __future__ import annotations

from typing import Any, Sequence

HOUR_MS = 3_600_000


def invited(program: str, keys: Sequence[str], **fields: Any) -> dict[str, Any]:
    """A session of exactly these public keys, in this order, all of whom must take part unless `fields` say otherwise."""
    return _specification(program, {"type": "invited", "keys": list(keys)}, len(keys), fields)


def group(program: str, parent: str, parties: int, **fields: Any) -> dict[str, Any]:
    """A further session of the `parties` parties of an earlier one, `parent`, with keys derived from those that they have."""
    return _specification(program, {"type": "group", "parent": parent}, parties, fields)


def _specification(program: str, admission: dict[str, Any], parties: int, fields: dict[str, Any]) -> dict[str, Any]:
    specification: dict[str, Any] = {
        "title": program,
        "program": {"name": program, "version": "1", "digest": "0" * 64},
        "admission": admission,
        "min_parties": parties,
        "max_parties": parties,
        "corruption_threshold": max(parties - 1, 0),
        "abort_quorum": 1,
        "keying_rounds": 1,
        "max_rounds": 64,
        "max_message_bytes": 65_536,
        "max_party_bytes": 1_048_576,
        "padded_bytes": None,
        "inline_payloads": True,
        "keying_ms": HOUR_MS,
        "running_ms": HOUR_MS,
        "retention_ms": 24 * HOUR_MS,
        "round_timeout_ms": None,
    }
    unknown = sorted(set(fields) - set(specification))
    if unknown:
        raise TypeError(f"a specification has no field {', '.join(unknown)}")
    return {**specification, **fields}
