"""What needs no node: identities, documents, and the errors about them."""

import json
import pickle
import tempfile
import unittest
from pathlib import Path

import white_city
from white_city import aio, errors


class Files(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_an_identity_is_saved_once_and_loaded_with_its_passphrase(self) -> None:
        path = self.folder / "me.json"
        identity = white_city.Identity.generate()
        identity.save(path, passphrase="open sesame")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(white_city.Identity.load(str(path), "open sesame").public, identity.public)
        for passphrase in (None, "open barley"):
            with self.assertRaises(errors.PassphraseError):
                white_city.Identity.load(path, passphrase)
        with self.assertRaisesRegex(errors.FileError, "not overwritten"):
            identity.save(path)
        with self.assertRaisesRegex(white_city.WhiteCityError, "cannot read .*No such file"):
            white_city.Identity.load(self.folder / "none.json")

    def test_no_secret_is_shown(self) -> None:
        path = self.folder / "me.json"
        identity = white_city.Identity.generate()
        identity.save(path)
        secret = json.loads(path.read_text())["secret"]
        self.assertIn(identity.public, repr(identity))
        shown = [repr(identity), str(identity), *(str(getattr(identity, name)) for name in dir(identity))]
        self.assertNotIn(secret, "".join(shown))
        with self.assertRaises(TypeError):
            pickle.dumps(identity)

    def test_wrong_documents_are_refused_with_a_reason(self) -> None:
        for client in (white_city.Client, aio.Client):
            with self.assertRaisesRegex(ValueError, "not a network file: missing field"):
                client({})
            with self.assertRaisesRegex(errors.FileError, "cannot read"):
                client(self.folder / "none.json")
            with self.assertRaisesRegex(TypeError, "as a dict or as a path"):
                client(7)  # type: ignore[arg-type]

    def test_a_specification_has_all_fields_and_no_others(self) -> None:
        specification = white_city.invited("sum", ["ab", "cd"], max_rounds=2)
        self.assertEqual((specification["max_parties"], specification["max_rounds"]), (2, 2))
        with self.assertRaisesRegex(TypeError, "no field rounds"):
            white_city.group("sum", "ef", 2, rounds=2)


if __name__ == "__main__":
    unittest.main()
