"""The proof of work once more, in Python: solver, verifier, stamps, and the bounds by mpmath with hundreds of digits.

Shares nothing with the crate `pow`. Without arguments, works out everything anew and compares it with tests/pow/vectors.json, which
the crate's tests read, too: proofs are unique, so that equal bytes mean that each accepts the other's. With --write, writes the
file. Any failure is an exception.
"""

import fractions
import hashlib
import json
import pathlib
import sys

from mpmath import mp, mpf

FILE = pathlib.Path(__file__).resolve().parents[1] / "pow" / "vectors.json"
NODE = 20
mp.dps = 400


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def le32(number):
    return number.to_bytes(4, "little")


def leaf(seed, number, leaf_hashes):
    x = seed
    for step in range(leaf_hashes):
        x = sha(b"wc-pow1L", le32(number), le32(step), x)
    return x[:NODE]


def parent(left, right):
    return sha(b"wc-pow1N", left, right)[:NODE]


def opened(seed, root, leaves_log2, openings):
    drawn = []
    for counter in range((openings + 7) // 8):
        digest = sha(b"wc-pow1O", seed, root, le32(counter))
        drawn += [int.from_bytes(digest[at : at + 4], "little") for at in range(0, 32, 4)]
    return sorted({number % 2**leaves_log2 for number in drawn[:openings]})


def beside(numbers, leaves_log2):
    """The nodes beside the paths, level by level from the leaves."""
    layer = set(numbers)
    for level in range(leaves_log2):
        yield from ((level, number ^ 1) for number in sorted(layer) if number ^ 1 not in layer)
        layer = {number // 2 for number in layer}


def solve(parameters, challenge, key):
    leaf_hashes, leaves_log2, openings = parameters
    seed = sha(b"wc-pow1S", challenge, key)
    layers = [[leaf(seed, number, leaf_hashes) for number in range(2**leaves_log2)]]
    while len(layers[-1]) > 1:
        below = layers[-1]
        layers.append([parent(below[at], below[at + 1]) for at in range(0, len(below), 2)])
    root = layers[-1][0]
    numbers = opened(seed, root, leaves_log2, openings)
    nodes = [root] + [layers[0][number] for number in numbers]
    nodes += [layers[level][number] for level, number in beside(numbers, leaves_log2)]
    return b"".join(nodes)


def verify(parameters, challenge, key, proof):
    leaf_hashes, leaves_log2, openings = parameters
    seed = sha(b"wc-pow1S", challenge, key)
    nodes = [proof[at : at + NODE] for at in range(0, len(proof), NODE)]
    numbers = opened(seed, nodes[0], leaves_log2, openings)
    places = list(beside(numbers, leaves_log2))
    if len(proof) != NODE * (1 + len(numbers) + len(places)):
        return False
    known = {(0, number): node for number, node in zip(numbers, nodes[1:])}
    known |= dict(zip(places, nodes[1 + len(numbers) :]))
    layer = numbers
    for level in range(leaves_log2):
        layer = sorted({number // 2 for number in layer})
        for number in layer:
            known[level + 1, number] = parent(known[level, 2 * number], known[level, 2 * number + 1])
    right = known[leaves_log2, 0] == nodes[0]
    return right and all(known[0, number] == leaf(seed, number, leaf_hashes) for number in numbers)


def proof_vector(leaf_hashes, leaves_log2, openings, name):
    parameters = (leaf_hashes, leaves_log2, openings)
    challenge, key = sha(b"challenge", name), sha(b"key", name)
    proof = solve(parameters, challenge, key)
    assert verify(parameters, challenge, key, proof)
    assert not verify(parameters, key, challenge, proof)
    for at in range(len(proof)):
        assert not verify(parameters, challenge, key, proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :])
    return {
        "leaf_hashes": leaf_hashes,
        "leaves_log2": leaves_log2,
        "openings": openings,
        "challenge": challenge.hex(),
        "key": key.hex(),
        "proof": proof.hex(),
    }


def stamp_vector(name, bits, start):
    context = sha(b"context", name)
    nonce = start
    while int.from_bytes(sha(b"wc-pow1H", context, nonce.to_bytes(8, "little")), "big") >> (256 - bits):
        nonce += 1
    return {"context": context.hex(), "bits": bits, "start": start, "nonce": nonce}


def tolerated(leaf_hashes, leaves_log2, openings, soundness_bits):
    """The greatest q with q (floor(q/w)/L)^m <= 2^-s: for each floor(q/w), the greatest q is given by a quotient."""
    leaves = 2**leaves_log2

    def greatest(done):
        last = (done + 1) * leaf_hashes - 1
        if done == 0:
            return last
        return min(last, int(mp.floor(mpf(2) ** -soundness_bits * (mpf(leaves) / done) ** openings)))

    low, high = 0, leaves
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if greatest(middle) >= middle * leaf_hashes else (low, middle)
    return greatest(low)


def bound_vector(name, parameters, adversary, hash_rate, slack_ms, head_start_ms, soundness_bits):
    leaf_hashes, leaves_log2, openings = parameters
    total = 2**leaves_log2 * leaf_hashes + 2**leaves_log2 - 1
    most = tolerated(leaf_hashes, leaves_log2, openings, soundness_bits)
    solving_ms = -(-total * 1000 // hash_rate) + slack_ms
    identities = int(fractions.Fraction(adversary * hash_rate * (solving_ms + head_start_ms), 1000) / (most + 1))
    # floor((t/xi)(1 + T_sol pi/time_proof)), the adversary's head start being more of T_sol.
    xi = mpf(most) / total
    slack = mpf(slack_ms + head_start_ms) / 1000
    theorem = int(mp.floor(adversary / xi * (1 + slack * hash_rate / total)))
    assert theorem - identities in (0, 1), (name, identities, theorem)
    # The error at that number of queries and at half of it, in thousandths of a bit, rounded down.
    error = lambda queries: -mp.log(queries * (mpf(queries // leaf_hashes) / 2**leaves_log2) ** openings, 2)
    return {
        "name": name,
        "leaf_hashes": leaf_hashes,
        "leaves_log2": leaves_log2,
        "openings": openings,
        "adversary": adversary,
        "hash_rate": hash_rate,
        "slack_ms": slack_ms,
        "head_start_ms": head_start_ms,
        "soundness_bits": soundness_bits,
        "total_hashes": total,
        "tolerated_hashes": most,
        "half_error_millibits": int(mp.floor(1000 * error(total // 2))),
        "solving_ms": solving_ms,
        "identities": identities,
        "theorem_identities": theorem,
    }


def openings_for(adversary, hash_rate, slack_ms, soundness_bits):
    """Theorem 4.6 without leaves that are chains: the fewest m with q xi^m <= 2^-s, xi = 2t/(2t+1), time_proof = (2t+1) T_sol pi."""
    total = (2 * adversary + 1) * slack_ms * hash_rate // 1000
    xi = mpf(2 * adversary) / (2 * adversary + 1)
    return int(mp.ceil((soundness_bits + mp.log(xi * total, 2)) / -mp.log(xi, 2)))


def vectors():
    proofs = [
        proof_vector(1, 1, 1, b"smallest"),
        proof_vector(3, 4, 9, b"more draws than blocks"),
        proof_vector(2, 5, 64, b"most leaves opened"),
        proof_vector(16, 8, 12, b"usual"),
        proof_vector(1, 11, 3, b"a layer above the leaves is kept"),
    ]
    stamps = [stamp_vector(b"none", 0, 5), stamp_vector(b"few", 7, 0), stamp_vector(b"some", 16, 2**63)]
    minute = (4096, 18, 93)
    bounds = [
        bound_vector("a minute, half of it enough for nothing", minute, 10, 17_900_000, 10_000, 0, 64),
        bound_vector("the same with a head start", minute, 10, 17_900_000, 10_000, 1_500, 64),
        bound_vector("the same to 2^-128", minute, 10, 17_900_000, 10_000, 0, 128),
        bound_vector("t = 1", (332_030, 10, 114), 1, 10_000_000, 10_000, 1_000, 40),
        bound_vector("t = 4", (122_069, 13, 407), 4, 10_000_000, 10_000, 1_000, 40),
        bound_vector("t = 10", (35_399, 16, 1006), 10, 10_000_000, 10_000, 1_000, 40),
        bound_vector("t = 50", (10_603, 20, 5155), 50, 10_000_000, 10_000, 1_000, 40),
        bound_vector("leaves of one hash, as in the paper", (1, 26, 1009), 10, 3_000_000, 1_000, 0, 40),
        bound_vector("a bound between two leaves", (1000, 10, 20), 3, 1_000_000, 500, 20, 17),
        bound_vector("the most openings", (2, 20, 8192), 1000, 500_000, 60_000, 0, 250),
        bound_vector("the most work", (1 << 20, 19, 255), 4_000_000, 20_000_000, 3_600_000, 60_000, 80),
    ]
    theorem = [
        {"adversary": adversary, "hash_rate": 10_700_000, "slack_ms": 10_000, "soundness_bits": 40, "openings": found}
        for adversary, found in ((t, openings_for(t, 10_700_000, 10_000, 40)) for t in (1, 4, 10, 50))
    ]
    assert [point["openings"] for point in theorem[2:]] == [1009, 5108]
    return {"proofs": proofs, "stamps": stamps, "bounds": bounds, "theorem": theorem}


def main():
    found = json.dumps(vectors(), indent=2) + "\n"
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(found)
    assert FILE.read_text() == found, f"{FILE} holds something else"
    print(f"{FILE.name}: as worked out here")


main()
