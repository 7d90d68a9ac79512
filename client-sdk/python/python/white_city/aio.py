"""The same clients and sessions for asyncio: what waits is awaited, and cancelling the task stops it.

    client = aio.Client("network.json")
    session = await aio.Session.join(client, identity, "invitation.json")
    await session.broadcast(0, b"hello")
"""

from white_city._native import AsyncClient as Client
from white_city._native import AsyncSession as Session
from white_city._native import Identity, Reading

__all__ = ["Client", "Identity", "Reading", "Session"]
