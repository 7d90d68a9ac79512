"""Adds up numbers that nobody shows: each party splits its own into random shares, one for every party (additive sharing).

    python secure_sum.py network.json identity.json invitation.json 42

Who is curious learns the sum and what follows from it, no more. It does not stop a party from spoiling the sum.
"""

import secrets
import sys
from typing import Optional

import white_city

MODULUS = 2**64


def number(data: Optional[bytes]) -> int:
    if data is None or len(data) != 8:
        raise ValueError("a party sent something that is no number")
    return int.from_bytes(data, "big")


def secure_sum(session: white_city.Session, value: int) -> int:
    shares = [secrets.randbelow(MODULUS) for _ in range(session.parties)]
    shares[session.index] = (value - sum(shares) + shares[session.index]) % MODULUS
    others = {j: share.to_bytes(8, "big") for j, share in enumerate(shares) if j != session.index}
    session.send_private(0, others)
    received = session.read("private", 0).messages
    partial = shares[session.index] + sum(number(data) for j, data in received.items() if j != session.index)
    session.broadcast(1, (partial % MODULUS).to_bytes(8, "big"))
    return sum(number(data) for data in session.read("broadcast", 1).messages.values()) % MODULUS


if __name__ == "__main__":
    network, identity, invitation, value = sys.argv[1:]
    session = white_city.Session.join(white_city.Client(network), white_city.Identity.load(identity), invitation)
    print(secure_sum(session, int(value)))
    session.leave()
