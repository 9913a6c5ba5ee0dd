"""The monologue as a host stores it: what the window holds word for word is named by the ids of its messages.

The window and the monologue hold the same exchanges, so their words are stored once, with the window. Messages that
leave the window stay on their thread (`departed`) for as long as the monologue names them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage

from mirror_graph.state.content import readable
from mirror_graph.state.values import Exchange, MonologueEntry
from mirror_graph.state.window import is_users, named_text


def with_references(monologue: Sequence[MonologueEntry], window: Sequence[AnyMessage]) -> list[MonologueEntry]:
    """Return a monologue in which each exchange that stands in `window` to the letter is named instead of quoted."""
    standing = _ids_by_words(window)
    return _with_each_exchange(monologue, lambda exchange: _named(exchange, standing))


def with_words(monologue: Sequence[MonologueEntry], messages: Sequence[AnyMessage]) -> list[MonologueEntry]:
    """Return a monologue with the words of the exchanges that it names. One that is not in `messages` stays named."""
    by_id = {message.id or "": message for message in messages}
    return _with_each_exchange(monologue, lambda exchange: _quoted(exchange, by_id))


def nameable_messages(thread: Mapping[str, Any]) -> list[AnyMessage]:
    """Return the messages of a thread that its stored monologue may name: those that left the window, and it."""
    return [*thread.get("departed", []), *thread["messages"]]


def named_messages(monologue: Sequence[MonologueEntry]) -> set[str]:
    """Return the ids of the messages that a monologue names."""
    exchanges = [exchange for entry in monologue for exchange in entry["exchanges"]]
    return {message_id for exchange in exchanges for message_id in exchange.get("messages", [])}


def is_named(exchange: Exchange) -> bool:
    """Say whether an exchange names its messages, and has no words of its own."""
    return "messages" in exchange


def _ids_by_words(window: Sequence[AnyMessage]) -> dict[tuple[str, str], list[str]]:
    """Return the ids of the messages of each exchange of a window: the user's, and then the answer's."""
    found: dict[tuple[str, str], list[str]] = {}
    asked: list[AnyMessage] = []
    for message in window:
        if is_users(message):
            asked.append(message)
        elif isinstance(message, AIMessage):
            ids = [each.id or "" for each in (*asked, message)]
            # Of two exchanges with the same words the first counts: what is edited later does not reach it.
            found.setdefault(_words(asked, message), ids)
            asked = []
    return found


def _named(exchange: Exchange, standing: Mapping[tuple[str, str], list[str]]) -> Exchange:
    ids = standing.get((exchange["user"], exchange["reply"]))
    if ids is None or not all(ids) or is_named(exchange):
        return exchange
    return {"turn": exchange["turn"], "user": "", "reply": "", "messages": ids}


def _quoted(exchange: Exchange, by_id: Mapping[str, AnyMessage]) -> Exchange:
    ids = exchange.get("messages")
    if ids is None or not all(each in by_id for each in ids):
        return exchange
    *asked, answer = [by_id[each] for each in ids]
    user, reply = _words(asked, answer)
    return {"turn": exchange["turn"], "user": user, "reply": reply}


def _words(asked: Sequence[AnyMessage], answer: AnyMessage) -> tuple[str, str]:
    """Return both sides of an exchange as `exchanges_of` words them."""
    return "\n\n".join(map(named_text, asked)), readable(answer)


def _with_each_exchange(
    monologue: Sequence[MonologueEntry], change: Callable[[Exchange], Exchange]
) -> list[MonologueEntry]:
    changed: list[MonologueEntry] = []
    for entry in monologue:
        changed.append({**entry, "exchanges": [change(exchange) for exchange in entry["exchanges"]]})
    return changed
