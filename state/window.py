"""Reading the window: which turn it is, what was said in it, and what may leave it."""

from collections.abc import Sequence

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage

from mirror_graph.state.content import readable
from mirror_graph.state.reducers import message_tokens, trim
from mirror_graph.state.tokens import cut
from mirror_graph.state.values import Exchange

HARD_WINDOW = 2
"""How many times its budget the window may grow while thinking is behind."""


def turn_of(reply: AIMessage) -> int | None:
    """Return the turn a reply of ours was given in, or None for a reply of anybody else's."""
    turn = reply.response_metadata.get("mirror", {}).get("turn")
    return turn if isinstance(turn, int) else None


def last_turn(messages: Sequence[AnyMessage]) -> int:
    """Return the turn of the last reply, 0 before the first.

    Replies of other graphs carry no turn and count as one each.
    """
    turn = 0
    for message in messages:
        if isinstance(message, AIMessage):
            turn = turn_of(message) or turn + 1
    return turn


def exchanges_since(messages: Sequence[AnyMessage], turn: int) -> list[Exchange]:
    """Return what was said after `turn`, oldest first: each reply with the user's words before it."""
    exchanges: list[Exchange] = []
    said: list[str] = []
    now = 0
    for message in messages:
        if isinstance(message, HumanMessage):
            said.append(readable(message))
        elif isinstance(message, AIMessage):
            now = turn_of(message) or now + 1
            if now > turn:
                exchanges.append({"turn": now, "user": "\n\n".join(said), "reply": readable(message)})
            said = []
    return exchanges


def messages_since(messages: Sequence[AnyMessage], turn: int) -> list[AnyMessage]:
    """Return the messages of the turns after `turn`."""
    now = 0
    for place, message in enumerate(messages):
        if isinstance(message, AIMessage):
            now = turn_of(message) or now + 1
            if now <= turn:
                continue
            first = place
            while first > 0 and not isinstance(messages[first - 1], AIMessage):
                first -= 1
            return list(messages[first:])
    return []


def unanswered(messages: Sequence[AnyMessage]) -> list[HumanMessage]:
    """Return the user's messages since the last reply."""
    waiting: list[HumanMessage] = []
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            break
        if isinstance(message, HumanMessage):
            waiting.insert(0, message)
    return waiting


def news(exchanges: Sequence[Exchange], known: Sequence[Exchange]) -> list[Exchange]:
    """Return the exchanges worth a thought: neither empty nor, on both sides, an exact repeat of the last one.

    A repeat of one side alone is news: a second "yes" may answer another question.
    """
    fresh: list[Exchange] = []
    for exchange in exchanges:
        last = fresh[-1] if fresh else known[-1] if known else None
        repeated = last is not None and (last["user"], last["reply"]) == (exchange["user"], exchange["reply"])
        if exchange["user"].strip() and not repeated:
            fresh.append(exchange)
    return fresh


def shorten(exchanges: list[Exchange], tokens: int) -> list[Exchange]:
    """Cut the longest words of `exchanges` so that together they take at most `tokens` tokens."""
    share = max(1, tokens // max(1, 2 * len(exchanges)))
    return [{"turn": it["turn"], "user": cut(it["user"], share), "reply": cut(it["reply"], share)} for it in exchanges]


def leaving(messages: Sequence[AnyMessage], *, budget: int, thought_turn: int | None) -> list[RemoveMessage]:
    """Say which messages leave a window of `budget` tokens: the oldest, in steps, whole turns at a time.

    A message leaves only after it has been thought about (`thought_turn`; None where nobody thinks), unless
    the window has grown to twice its budget: then the bound counts more, and the oldest leave unthought.
    """
    staying = trim(list(messages), budget, message_tokens)
    if thought_turn is not None:
        waiting = messages_since(messages, thought_turn) or list[AnyMessage](unanswered(messages))
        staying = max(staying, trim(waiting, budget * HARD_WINDOW, message_tokens), key=len)
    gone = len(messages) - len(staying)
    if gone:
        last = max((place for place, it in enumerate(messages) if isinstance(it, HumanMessage)), default=gone)
        while gone < last and not isinstance(messages[gone], HumanMessage):
            gone += 1
        gone = min(gone, last)  # the last exchange always stays
    return [RemoveMessage(id=message.id or "") for message in messages[:gone]]
