"""What can go wrong, named after what happened and carrying the facts."""


class MirrorError(Exception):
    """Any error of this package."""


class ConfigurationError(MirrorError, ValueError):
    """A setting, model name or key is missing or wrong; the text says what to set."""


class MessageRefusedError(MirrorError):
    """A message was not taken: it is no text, is empty, or does not fit.

    A host has stored nothing of it; a graph forgets it with the next message.

    `tokens` is its size and `limit` the largest one; both are 0 where its size is not what is wrong.
    """

    def __init__(self, problem: str, *, tokens: int, limit: int) -> None:
        super().__init__(problem)
        self.tokens = tokens
        self.limit = limit


class CallError(MirrorError):
    """A model call gave nothing usable.

    `transient` says whether the same call may succeed when made again; `cause` is the
    provider's own error where there was one.
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
    """The model refused to answer, or its provider's filter held the answer back: asking again changes nothing."""


class ReplyError(CallError):
    """The talker gave no whole reply. The user's message is kept: say it again to try again.

    `partial` is the text that had already been streamed when the call broke, or `""`.
    """

    def __init__(
        self, problem: str, *, transient: bool = False, cause: BaseException | None = None, partial: str = ""
    ) -> None:
        super().__init__("talker", problem, transient=transient, cause=cause)
        self.partial = partial


class ModelFileError(MirrorError):
    """A local model file is missing, cut off, or not the bytes it should be."""

    def __init__(self, problem: str, *, path: str) -> None:
        super().__init__(problem)
        self.path = path


class StorageError(MirrorError):
    """A stored thread cannot be read or written as this release expects."""


class HostClosedError(MirrorError):
    """The host was left while a turn was under way, or before it began. Send the message again to another host."""

    def __init__(self) -> None:
        super().__init__("the host is closed: send the message again once it is open")


class UnknownConstraintError(MirrorError):
    """The user has no constraint with this id."""

    def __init__(self, constraint_id: str) -> None:
        super().__init__(f"no constraint {constraint_id!r}: `constraints()` lists the ids")
        self.constraint_id = constraint_id


class NoRoomError(MirrorError):
    """The user's list is full, and every constraint in it is more important than the new one."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} constraints are kept, and none of them weighs less: erase one first")
        self.limit = limit
