"""Sessions on a real node. `tests/tests/python.rs` starts it and sets the two variables."""

import _thread
import asyncio
import json
import os
import tempfile
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import white_city
from white_city import aio, errors

NETWORK = os.environ.get("WHITE_CITY_NETWORK", "")
OPERATOR = os.environ.get("WHITE_CITY_OPERATOR", "")


@unittest.skipUnless(NETWORK and OPERATOR, "scripts/test python starts the node that this needs")
class Sessions(unittest.TestCase):
    def setUp(self) -> None:
        self.client = white_city.Client(NETWORK)
        self.operator = white_city.Identity.load(OPERATOR)
        self.people = [white_city.Identity.generate() for _ in range(2)]
        self.keys = [identity.public for identity in self.people]

    def create(self) -> str:
        return self.client.create(self.operator, white_city.invited("test", self.keys))

    def join_both(self, session: str) -> list[white_city.Session]:
        with ThreadPoolExecutor() as pool:
            join = lambda identity: white_city.Session.join(white_city.Client(NETWORK), identity, session)
            return list(pool.map(join, self.people))

    def test_two_threads_send_and_leave(self) -> None:
        """The handshake needs both at once, so this ends only if waiting lets the other thread run."""
        session = self.create()
        parties = self.join_both(session)
        self.assertEqual([(party.index, party.parties) for party in parties], [(0, 2), (1, 2)])
        self.assertEqual((parties[0].keys, parties[0].absent, parties[0].id), (self.keys, [], session))
        for party in parties:
            party.send_private(0, {1 - party.index: b"for you %d" % party.index})
            party.broadcast(0, b"for all %d" % party.index)
        heads = set()
        for party in parties:
            everybody = party.read("broadcast", 0)
            heads.add(everybody.head)
            self.assertEqual(everybody.messages, {0: b"for all 0", 1: b"for all 1"})
            private = party.read("private", 0)
            self.assertEqual(private.messages[1 - party.index], b"for you %d" % (1 - party.index))
            self.assertEqual(private.unreadable, [])
            self.assertNotIn("for you", repr(private))
            self.assertEqual(party.read_available("broadcast", 1).messages, {})
        self.assertEqual(len(heads), 1)
        with ThreadPoolExecutor() as pool:
            ends = list(pool.map(white_city.Session.leave, parties))
        self.assertEqual({end["reason"] for end in ends}, {"terminated"})
        self.assertEqual(self.client.session(session)["phase"], "erased")

    def test_asyncio_and_a_group(self) -> None:
        async def party(identity: white_city.Identity, session: str, more: "asyncio.Future[str]") -> None:
            client = aio.Client(NETWORK)
            seat = await aio.Session.join(client, identity, session, keep_keys=True)
            await seat.broadcast(0, b"%d" % seat.index)
            self.assertEqual(len((await seat.read("broadcast", 0)).messages), 2)
            await seat.leave()
            again = await aio.Session.join(client, identity, await more)
            await again.send_private(0, {1 - again.index: b"again"})
            self.assertEqual((await again.read("private", 0)).messages[1 - again.index], b"again")
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(again.read("broadcast", 5), 0.2)
            self.assertEqual((await again.leave())["reason"], "terminated")

        async def run() -> None:
            client = aio.Client(NETWORK)
            session = await client.create(self.operator, white_city.invited("test", self.keys))
            more: "asyncio.Future[str]" = asyncio.get_running_loop().create_future()
            parties = [asyncio.ensure_future(party(identity, session, more)) for identity in self.people]
            while (await client.session(session))["phase"] in ("keying", "running"):
                await asyncio.sleep(0.05)
            more.set_result(await client.create(self.operator, white_city.group("test", session, 2)))
            await asyncio.gather(*parties)

        asyncio.run(run())

    def test_an_invitation_is_a_dict_or_a_file(self) -> None:
        session = self.create()
        invitation = self.client.invite(session)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "invitation.json"
            path.write_text(json.dumps(invitation))
            specification = Path(folder) / "specification.json"
            specification.write_text(json.dumps(white_city.invited("test", self.keys)))
            self.assertEqual([self.client.accept(path), self.client.accept(invitation)], [session, session])
            self.assertEqual(self.client.session(path)["spec"]["program"]["name"], "test")
            self.assertNotEqual(self.client.create(self.operator, specification), session)
        with self.assertRaises(errors.InvitationError):
            self.client.accept({**invitation, "chain": "elsewhere"})

    def test_errors_have_classes_and_codes(self) -> None:
        with self.assertRaises(errors.RefusedError) as unknown:
            self.client.session("00" * 32)
        self.assertEqual(unknown.exception.code, "unknown_session")
        self.assertEqual(len(unknown.exception.tried), 1)
        with self.assertRaises(errors.RefusedError) as refused:
            self.client.create(self.people[0], white_city.invited("test", self.keys))
        self.assertEqual(refused.exception.code, "not_permitted")
        session = self.create()
        with self.assertRaises(errors.JoinError) as stranger:
            white_city.Session.join(self.client, white_city.Identity.generate(), session)
        self.assertIsInstance(stranger.exception, errors.NotAPartyError)
        with self.assertRaises(errors.StillInPhaseError) as alone:
            white_city.Session.join(self.client, self.people[0], session, wait=1.0)
        self.assertEqual(alone.exception.missing, [1])
        with self.assertRaisesRegex(ValueError, "seconds"):
            white_city.Session.join(self.client, self.people[0], session, wait=-1.0)

    def test_errors_in_a_session(self) -> None:
        session = self.create()
        first, _ = self.join_both(session)
        first.broadcast(0, b"one")
        with self.assertRaises(errors.SlotTakenError):
            first.broadcast(0, b"other")
        with self.assertRaises(errors.MessageError):
            first.broadcast(64, b"one")
        with self.assertRaisesRegex(ValueError, "no mailbox"):
            first.read("public", 0)  # type: ignore[arg-type]
        attached = white_city.Session.attach(self.client, self.people[0], session, wait=1.0)
        with self.assertRaises(errors.NoChannelsError):
            attached.send_private(0, {1: b"x"})
        attached.read_available("keying", 0)
        with self.assertRaisesRegex(errors.MissingError, r"missing \[1\] \(party 1: last seen in keying round 0") as missing:
            attached.read("broadcast", 0)
        self.assertEqual(missing.exception.missing, [1])
        self.assertEqual((missing.exception.seen[1]["kind"], missing.exception.seen[1]["round"]), ("keying", 0))
        first.abort("enough")
        with self.assertRaisesRegex(errors.SessionEndedError, "party 0 said: enough") as ended:
            first.read("broadcast", 0)
        self.assertEqual(ended.exception.reason, "aborted")

    def test_ctrl_c_interrupts_waiting(self) -> None:
        session = self.create()
        timer = threading.Timer(0.3, _thread.interrupt_main)
        timer.start()
        with self.assertRaises(KeyboardInterrupt):
            white_city.Session.join(self.client, self.people[0], session)
        timer.join()


if __name__ == "__main__":
    unittest.main()
