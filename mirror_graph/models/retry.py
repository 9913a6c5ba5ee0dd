"""Whether a failed call may succeed if it is repeated."""

from collections.abc import Iterator

from mirror_graph.errors import CallError

PASSING_STATUSES = {408, 409, 425, 429}
CONNECTION_LOST = {"TransportError", "APIConnectionError"}
WRONG_ADDRESS = {"UnsupportedProtocol", "LocalProtocolError"}


def is_transient(error: BaseException) -> bool:
    """Tell whether the same call may succeed later: a busy or failing server, a lost connection, a timeout.

    Errors are known by what they carry, not by their class: every provider's client has classes of its own.
    The first in the chain of causes with a status decides; else any lost connection in it does.
    """
    connection_was_lost = False
    for link in _chain(error):
        if isinstance(link, CallError):
            return link.transient
        if (status := _status(link)) is not None:
            return status >= 500 or (status in PASSING_STATUSES and not _quota_is_used_up(link))
        names = {ancestor.__name__ for ancestor in type(link).__mro__}
        if names & WRONG_ADDRESS:
            return False
        connection_was_lost |= bool(names & CONNECTION_LOST) or isinstance(link, (TimeoutError, ConnectionError))
    return connection_was_lost


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int | None:
    """Read the HTTP status; an error sent inside a stream has it as its `code`, which may also be a word."""
    for value in (getattr(error, "status_code", None), getattr(error, "code", None)):
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
            return int(value)
    return None


def _quota_is_used_up(error: BaseException) -> bool:
    return "insufficient_quota" in (getattr(error, "code", None), getattr(error, "type", None))
