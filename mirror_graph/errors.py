"""The errors of this package, each named after what happened and carrying the facts."""

from collections.abc import Sequence


class MirrorError(Exception):
    """Any error of this package."""


class ConfigurationError(MirrorError, ValueError):
    """A setting, model name or key is missing or wrong; the text says what to set."""


class MessageRefusedError(MirrorError):
    """A message was refused: it is not text, is empty, or does not fit.

    A host has stored nothing of it. A graph forgets it with the next message.

    `tokens` is its size and `limit` the largest allowed one. Both are 0 if the size is not the problem.
    """

    def __init__(self, problem: str, *, tokens: int, limit: int) -> None:
        super().__init__(problem)
        self.tokens = tokens
        self.limit = limit


class CallError(MirrorError):
    """A model call returned nothing usable.

    `transient` says whether the same call may succeed if it is repeated. `cause` is the provider's own error, if any.
    """

    def __init__(
        self, component: str, problem: str, *, transient: bool = False, cause: BaseException | None = None
    ) -> None:
        super().__init__(f"{component}: {problem}")
        self.component = component
        self.problem = problem
        self.transient = transient
        self.cause = cause


class RefusalError(CallError):
    """The model refused to answer, or its provider's filter blocked the answer. Asking again does not help."""


class ReplyError(CallError):
    """The talker gave no complete reply. The user's message is saved: send it again to retry.

    `partial` is the text that had already been streamed when the call broke, or `""`.
    """

    def __init__(
        self, problem: str, *, transient: bool = False, cause: BaseException | None = None, partial: str = ""
    ) -> None:
        super().__init__("talker", problem, transient=transient, cause=cause)
        self.partial = partial


class ModelFileError(MirrorError):
    """The file of a local model is missing, incomplete, or has the wrong content."""

    def __init__(self, problem: str, *, path: str) -> None:
        super().__init__(problem)
        self.path = path


class StorageError(MirrorError):
    """A stored thread cannot be read or written as this release expects."""


class DamagedValueError(StorageError):
    """A stored value is not what was written."""


class MissingKeyError(StorageError, ConfigurationError):
    """What is stored was encrypted with a key that is missing here. Nothing was overwritten.

    `key_id` is the id of that key. An id is stored in clear, and no key can be recovered from it.
    """

    def __init__(self, key_id: str, known: Sequence[str], what: str = "") -> None:
        keys = f"the keys here are {', '.join(known)}" if known else "there is no key here"
        super().__init__(
            f"{what and what + ': '}encrypted with the key {key_id}, and {keys}. Set MIRROR_AES_KEY, or pass `key`: "
            "several keys are separated by commas"
        )
        self.key_id = key_id
        self.known = known


class HostClosedError(MirrorError):
    """The host was closed before or during a turn. Send the message again, to another host."""

    def __init__(self) -> None:
        super().__init__("the host is closed: open it again, then send the message again")


class UnknownConstraintError(MirrorError):
    """The user has no constraint with this id."""

    def __init__(self, constraint_id: str) -> None:
        super().__init__(
            f"no constraint {constraint_id!r} of this user: `mirror user list` and `User.constraints()` show the ids"
        )
        self.constraint_id = constraint_id


class NoRoomError(MirrorError):
    """The user's list is full, and every constraint in it is more important than the new one."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the list is full: all {limit} constraints are at least as important as the new one. Erase one first"
        )
        self.limit = limit


class UnknownMessageError(MirrorError):
    """The window holds no such message of the user's.

    `message_id` is the id that was asked for, or `""` if it was the last message.
    """

    def __init__(self, message_id: str = "") -> None:
        which = f"no message {message_id!r} of the user's in the window" if message_id else "no message of the user's"
        super().__init__(f"the conversation has {which}: `messages()` lists what can be answered again")
        self.message_id = message_id


class ThreadInUseError(MirrorError):
    """The conversation has a turn already, so a history cannot become its beginning. `turns` is how many it has."""

    def __init__(self, turns: int) -> None:
        super().__init__(f"the conversation has {turns} turns already: adopt a history under a name that is new")
        self.turns = turns
