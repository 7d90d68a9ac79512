"""Checks tests/bls/*.json with py_ecc: an implementation of BLS12-381 that shares nothing with ours.

Polynomials, shares and keys are computed anew from the seeds; every signature is checked by py_ecc's pairing and its hash to G1.
Prints a line for each file; any failure is an exception.
"""

import hashlib
import hmac
import json
import pathlib

from py_ecc.bls.g2_primitives import pubkey_to_G1, signature_to_G2, subgroup_check
from py_ecc.bls.hash_to_curve import hash_to_G1
from py_ecc.optimized_bls12_381 import (
    G2,
    FQ12,
    add,
    curve_order,
    final_exponentiate,
    is_inf,
    multiply,
    neg,
    normalize,
    pairing,
)

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "bls"
SALT = b"WHITE_CITY_BLS_POLYNOMIAL_V1"


def point(text, size, decode):
    """A point from hex: of the right length, in the subgroup, not the identity."""
    raw = bytes.fromhex(text)
    assert len(raw) == size, text
    # py_ecc names its decoders after the groups of the other variant: G1 for keys, G2 for signatures.
    found = decode(raw)
    assert subgroup_check(found) and not is_inf(found), text
    return found


def g1(text):
    return point(text, 48, pubkey_to_G1)


def g2(text):
    return point(text, 96, signature_to_G2)


def verifies(key, tag, message, signature):
    """e(signature, generator of G2) = e(hash, key), as one product of pairings."""
    hashed = hash_to_G1(message, tag, hashlib.sha256)
    product = pairing(G2, signature, final_exponentiate=False) * pairing(key, neg(hashed), final_exponentiate=False)
    return final_exponentiate(product) == FQ12.one()


def coefficients(seed, context, degree):
    """RFC 5869: 64 bytes for each coefficient, little-endian, modulo the order."""
    extracted = hmac.new(SALT, seed, hashlib.sha256).digest()
    found = []
    for number in range(degree + 1):
        info = context + degree.to_bytes(2, "little") + number.to_bytes(2, "little")
        first = hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()
        second = hmac.new(extracted, first + info + b"\x02", hashlib.sha256).digest()
        found.append(int.from_bytes(first + second, "little") % curve_order)
    return found


def at_zero(values):
    """Lagrange's coefficients at zero for these x."""
    found = []
    for own in values:
        factor = 1
        for other in values:
            if other != own:
                factor = factor * other * pow(other - own, -1, curve_order) % curve_order
        found.append(factor)
    return found


def same(one, other):
    return normalize(one) == normalize(other)


def check_group(group):
    count, degree = group["count"], group["degree"]
    secrets = [0] * count
    for dealing in group["dealings"]:
        polynomial = coefficients(bytes.fromhex(dealing["seed"]), bytes.fromhex(dealing["context"]), degree)
        assert len(dealing["commitments"]) == degree + 1 and len(dealing["shares"]) == count
        for coefficient, commitment in zip(polynomial, dealing["commitments"]):
            assert same(multiply(G2, coefficient), g2(commitment))
        for index, share in enumerate(dealing["shares"], 1):
            value = sum(c * pow(index, power, curve_order) for power, c in enumerate(polynomial)) % curve_order
            assert value == int(share, 16)
            secrets[index - 1] = (secrets[index - 1] + value) % curve_order
    group_key = g2(group["group_key"])
    for secret, key in zip(secrets, group["public_shares"], strict=True):
        assert same(multiply(G2, secret), g2(key))
    last = list(range(count - degree, count + 1))
    secret = sum(factor * secrets[x - 1] for x, factor in zip(last, at_zero(last))) % curve_order
    assert same(multiply(G2, secret), group_key)

    for signed in group["signed"]:
        tag, message, signature = signed["tag"].encode(), bytes.fromhex(signed["message"]), g1(signed["signature"])
        assert verifies(group_key, tag, message, signature)
        assert not verifies(group_key, tag, message + b"!", signature)
        for secret, partial in zip(secrets, signed["partials"], strict=True):
            assert same(multiply(hash_to_G1(message, tag, hashlib.sha256), secret), g1(partial))
        combined = None
        for x, factor in zip(last, at_zero(last)):
            term = multiply(g1(signed["partials"][x - 1]), factor)
            combined = term if combined is None else add(combined, term)
        assert same(combined, signature)
    return len(group["signed"])


def check_chain(chain):
    key, tag = g2(chain["key"]), chain["tag"].encode()
    for beacon in chain["beacons"]:
        message = hashlib.sha256(beacon["round"].to_bytes(8, "big")).digest()
        assert verifies(key, tag, message, g1(beacon["signature"])), beacon
    return len(chain["beacons"])


def main():
    groups = json.loads((FOLDER / "vectors.json").read_text())["groups"]
    signatures = sum(check_group(group) for group in groups)
    assert len(groups) >= 2 and signatures >= 6, "there is less to check than there was"
    print(f"vectors.json: {signatures} signatures of {len(groups)} groups agree with py_ecc")
    chains = json.loads((FOLDER / "drand.json").read_text())["chains"]
    beacons = sum(check_chain(chain) for chain in chains)
    assert beacons >= 8, "there is less to check than there was"
    print(f"drand.json: {beacons} beacons agree with py_ecc")


if __name__ == "__main__":
    main()
