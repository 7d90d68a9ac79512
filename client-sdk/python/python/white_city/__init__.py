"""Take part in White-City sessions. Every call here waits; `white_city.aio` has the same for asyncio.

    client = white_city.Client("network.json")
    identity = white_city.Identity.load("identity.json")
    session = white_city.Session.join(client, identity, "invitation.json")
    session.broadcast(0, b"hello")
    everybody = session.read("broadcast", 0).messages
    session.leave()

A waiting call lets other threads run, and Ctrl-C interrupts it. What goes wrong is a `WhiteCityError`.
"""

from white_city._native import Client, Identity, Reading, Session
from white_city.errors import WhiteCityError
from white_city.specification import group, invited

__all__ = ["Client", "Identity", "Reading", "Session", "WhiteCityError", "group", "invited"]
