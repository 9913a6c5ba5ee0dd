"""How a request's history relates to what a thread holds: does it go on, ask again, edit, or diverge?"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from mirror_graph.state.branch import turn_of
from mirror_graph.state.content import readable
from mirror_graph.state.window import is_users

Action = Literal["say", "adopt", "retake", "edit"]


class Line(NamedTuple):
    """One message as it is compared: white space folded, since front ends trim and wrap."""

    is_users: bool
    text: str
    id: str = ""

    @classmethod
    def of(cls, message: AnyMessage) -> "Line":
        """Return a message as a line."""
        return cls(isinstance(message, HumanMessage), " ".join(readable(message).split()), message.id or "")


class Step(NamedTuple):
    """What to do with the request's last message. `message` is the id of the stored message that it replaces."""

    action: Action
    message: str = ""


def lines_of(messages: Sequence[AnyMessage]) -> list[Line]:
    """Return what users and assistants wrote, oldest first."""
    return [Line.of(message) for message in messages if is_users(message) or isinstance(message, AIMessage)]


def lost_turns(messages: Sequence[AnyMessage]) -> int:
    """Return how many turns had left the window before its first reply."""
    first = next((message for message in messages if isinstance(message, AIMessage)), None)
    return (turn_of(first) or 1) - 1 if first else 0


def next_step(
    window: Sequence[Line], history: Sequence[Line], last: Line, *, lost: int, sends_all: bool
) -> Step | None:
    """Return what the request asks of a thread that holds `window`, or None if it holds another conversation.

    `history` is what the request holds before its `last` message. The window has lost its first `lost` turns, and the
    client may leave out the beginning, too. With `sends_all` the client always sends the whole history, so an empty
    one is a beginning; without it, an empty history means that the client sends only what is new.
    """
    if not window:
        return Step("adopt" if history else "say")
    if not history and not sends_all:
        return Step("say")
    # A whole match counts before a match of the ends: in "Hi", "Hello!", "Hi", "Hello!" they differ.
    for matches in (_are_alike, partial(_end_alike, lost=lost)):
        step = _step_where(matches, window, history, last)
        if step is not None:
            return step
    return Step("say") if _ends_in_stopped_reply(window, history, lost) else None


def _step_where(
    matches: Callable[[Sequence[Line], Sequence[Line]], bool],
    window: Sequence[Line],
    history: Sequence[Line],
    last: Line,
) -> Step | None:
    """Return the step behind the part of the window that `history` matches, the longest one, or None."""
    if matches(window, history):
        return Step("say")
    for place in reversed(range(len(window))):
        if window[place].is_users and matches(window[:place], history):
            return _instead(window, place, last)
    return None


def _ends_in_stopped_reply(window: Sequence[Line], history: Sequence[Line], lost: int) -> bool:
    """Say whether the client stopped the last reply and shows its beginning, which is not stored."""
    if not history or history[-1].is_users or not window[-1].is_users:
        return False
    return _end_alike(window, history[:-1], lost=lost)


def _instead(window: Sequence[Line], place: int, last: Line) -> Step:
    """Return the step that takes the place of the user's message at `place` and of all that follows it."""
    is_last = not any(line.is_users for line in window[place + 1 :])
    if is_last and window[place].text == last.text:
        return Step("retake")
    return Step("edit", window[place].id)


def _are_alike(stored: Sequence[Line], sent: Sequence[Line]) -> bool:
    return len(stored) == len(sent) and all(map(_is_same, stored, sent))


def _end_alike(stored: Sequence[Line], sent: Sequence[Line], *, lost: int) -> bool:
    """Say whether the shorter one is the end of the other one.

    What is sent beyond the stored beginning must have left the window. Otherwise it was never read here, and it may
    hold a constraint.
    """
    shared = min(len(stored), len(sent))
    beyond = [line for line in sent[: len(sent) - shared] if line.is_users]
    return shared > 0 and len(beyond) <= lost and _are_alike(stored[-shared:], sent[-shared:])


def _is_same(stored: Line, sent: Line) -> bool:
    """Say whether a stored message is the one that was sent.

    A front end may have put what it looked up around the user's words, and sends the bare words later. They are the
    same message: everything that is sent now has been read. A reply must be the same to the letter.
    """
    if stored.is_users != sent.is_users:
        return False
    return stored.text == sent.text or (stored.is_users and bool(sent.text) and sent.text in stored.text)
