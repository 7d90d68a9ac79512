"""What can go wrong for a party. Each error says who or what is to blame, and what to do."""

from __future__ import annotations

from typing import Any, Optional


class WhiteCityError(Exception):
    """Everything that can go wrong for a party."""

    #: The stable code of a refusal, for example `unknown_session`.
    code: Optional[str] = None
    #: Indices of the parties that provably caused this.
    culprits: list[int] = []
    #: The nodes that were asked, with their latest words.
    tried: list[str] = []


class FileError(WhiteCityError):
    """A file cannot be read or written, exists already, or is not what it should be."""


class PassphraseError(FileError):
    """The identity file is encrypted, and no passphrase was given or it is not the file's."""


class NetworkFileError(WhiteCityError):
    """The network file contradicts itself."""


class InvitationError(WhiteCityError):
    """An invitation is for another network than the network file's."""


class NodesError(WhiteCityError):
    """The nodes did not do what they should."""


class NoAnswerError(NodesError):
    """No node gave an answer that counts."""


class NotOnBoardError(NodesError):
    """An operation was not found on the board in time. It may still get there."""


class AnswerError(NodesError):
    """What the nodes have certified does not hold."""


class RefusedError(WhiteCityError):
    """So many nodes refuse that at least one honest one does: `code` says why."""


class SlotTakenError(WhiteCityError):
    """The party has already written something else to this mailbox."""


class JoinError(WhiteCityError):
    """There is no seat, or no channels, for this party."""


class NotAdmittedError(JoinError):
    """A stranger did not become a party of an open session."""


class NotAPartyError(JoinError):
    """The session's list does not have the identity."""


class AbsentError(JoinError):
    """The party gave no key by the keying deadline."""


class KeysLostError(JoinError):
    """The secrets of the party's channels are neither in this process nor in its state directory."""


class WaitError(WhiteCityError):
    """Not everybody did their part in time."""

    #: Indices of the parties that were waited for in vain.
    missing: list[int] = []
    #: When each of them was last seen, if ever: `kind` and `round` of the newest of its entries that this session has read, and
    #: `height` and `time_ms` of the certified block by which that was there.
    seen: dict[int, dict[str, Any]] = {}


class MissingError(WaitError):
    """Not everybody has written in time."""


class StillInPhaseError(WaitError):
    """The session did not reach a phase in time."""


class SessionEndedError(WhiteCityError):
    """The session is over."""

    #: `terminated`, `aborted` or `expired`.
    reason: str = ""


class MessageError(WhiteCityError):
    """The message is too long, or has no such round or recipient."""


class NoChannelsError(MessageError):
    """Private messages need a handshake, which `attach` does not make."""


class CannotOpenError(WhiteCityError):
    """A private message is none that its sender's key could have sealed: the sender cheated."""
