"""A party of the secure sum by asyncio, beside `examples/secure_sum.py`: `party.py network.json identity.json invitation.json VALUE`."""

import asyncio
import secrets
import sys

import white_city
from white_city import aio

MODULUS = 2**64


async def main(network: str, identity: str, invitation: str, value: int) -> None:
    session = await aio.Session.join(aio.Client(network), white_city.Identity.load(identity), invitation)
    others = [j for j in range(session.parties) if j != session.index]
    shares = {j: secrets.randbelow(MODULUS) for j in others}
    await session.send_private(0, {j: share.to_bytes(8, "big") for j, share in shares.items()})
    received = (await session.read("private", 0)).messages
    partial = value - sum(shares.values()) + sum(int.from_bytes(received[j] or b"", "big") for j in others)
    await session.broadcast(1, (partial % MODULUS).to_bytes(8, "big"))
    sums = (await session.read("broadcast", 1)).messages.values()
    print(sum(int.from_bytes(data or b"", "big") for data in sums) % MODULUS)
    await session.leave()


if __name__ == "__main__":
    network, identity, invitation, value = sys.argv[1:]
    asyncio.run(main(network, identity, invitation, int(value)))
