"""Reading the window: what waits for a reply, what has not been thought about, and what may be dropped."""

from collections.abc import Collection, Sequence

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, SystemMessage

from mirror_graph.state.alignment import is_outside_conversation
from mirror_graph.state.branch import reply_ids
from mirror_graph.state.content import readable
from mirror_graph.state.reducers import message_tokens, trim
from mirror_graph.state.tokens import truncate_middle
from mirror_graph.state.values import AnsweredTurn, Exchange

HARD_WINDOW = 2
"""How many times its budget the window may grow while thinking is behind."""


def messages_after(
    messages: Sequence[AnyMessage], read: AnsweredTurn, branch: Sequence[AnsweredTurn]
) -> list[AnyMessage]:
    """Return the messages behind the reply of turn `read`: all of them if that reply has left the window."""
    reply = read["reply"]
    # A mind of schema 1 names no reply, so it is looked up by its turn.
    if not reply:
        reply = next((answered["reply"] for answered in branch if answered["turn"] == read["turn"]), "")
    for place in reversed(range(len(messages))):
        if reply and messages[place].id == reply:
            return list(messages[place + 1 :])
    return list(messages)


def pending_exchanges(
    messages: Sequence[AnyMessage], read: AnsweredTurn, branch: Sequence[AnsweredTurn]
) -> list[AnyMessage]:
    """Return the messages that were answered and not thought about, up to the last reply."""
    after = messages_after(messages, read, branch)
    ours = reply_ids(branch)
    for place in reversed(range(len(after))):
        if after[place].id in ours:
            return after[: place + 1]
    return []


def pending_messages(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]) -> list[HumanMessage]:
    """Return the user's messages since the last reply of ours; what another agent answered still waits for us."""
    since = _since_last_reply(messages, branch)
    return [message for message in since if isinstance(message, HumanMessage) and is_users(message)]


def messages_of_other_agents(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]) -> list[AIMessage]:
    """Return what other agents wrote since the last reply of ours, such as a supervisor that hands over."""
    return [message for message in _since_last_reply(messages, branch) if isinstance(message, AIMessage)]


def is_users(message: AnyMessage) -> bool:
    """Say whether a message holds a user's own words."""
    return isinstance(message, HumanMessage) and not is_outside_conversation(message)


def exchanges_of(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]) -> list[Exchange]:
    """Return the exchanges in `messages`, oldest first: each answer, whoever gave it, with the user's words before it.

    An exchange that another agent answered counts to the turn of the next reply of ours.
    """
    turns = {answered["reply"]: answered["turn"] for answered in branch}
    exchanges: list[Exchange] = []
    open_exchanges: list[Exchange] = []
    words: list[str] = []
    for message in messages:
        if is_users(message):
            words.append(named_text(message))
            continue
        # A call of a tool has no words. Only a reply of ours counts without any.
        if not isinstance(message, AIMessage) or not (readable(message).strip() or message.id in turns):
            continue
        open_exchanges.append({"turn": 0, "user": "\n\n".join(words), "reply": readable(message)})
        words = []
        # A reply of ours closes its turn, with what other agents answered since our last one.
        if message.id in turns:
            exchanges += _numbered(open_exchanges, turns[message.id])
            open_exchanges = []
    return exchanges


def _numbered(exchanges: Sequence[Exchange], turn: int) -> list[Exchange]:
    """Return exchanges as those of a turn; turn 0 is none, and a client may have written it."""
    return [{**exchange, "turn": turn} for exchange in exchanges if turn]


def named_text(message: AnyMessage) -> str:
    """Return a message as text, with the speaker's name in front if it has one, as in a group."""
    text = readable(message)
    return f"{message.name}: {text}" if message.name else text


def new_exchanges(exchanges: Sequence[Exchange], known: Sequence[Exchange]) -> list[Exchange]:
    """Return the exchanges worth a thought: neither empty nor, on both sides, an exact repeat of the last one.

    A repeat of one side alone is news: a second "yes" may answer another question.
    """
    last = known[-1] if known else None
    fresh: list[Exchange] = []
    for exchange in exchanges:
        is_repeat = last is not None and (last["user"], last["reply"]) == (exchange["user"], exchange["reply"])
        if exchange["user"].strip() and not is_repeat:
            fresh.append(exchange)
            last = exchange
    return fresh


def truncate_exchanges(exchanges: list[Exchange], tokens: int) -> list[Exchange]:
    """Cut the longest words of `exchanges` so that together they take at most `tokens` tokens."""
    share = max(1, tokens // max(1, 2 * len(exchanges)))
    truncated: list[Exchange] = []
    for exchange in exchanges:
        user, reply = truncate_middle(exchange["user"], share), truncate_middle(exchange["reply"], share)
        truncated.append({"turn": exchange["turn"], "user": user, "reply": reply})
    return truncated


def messages_to_drop(
    messages: Sequence[AnyMessage], *, budget: int, waiting: Collection[str | None] | None
) -> list[RemoveMessage]:
    """Say which messages leave a window of `budget` tokens: the oldest, in steps, whole turns at a time.

    `waiting` holds the ids of the messages that have not been thought about; None if nothing thinks. Such a message
    stays, unless the window has grown to twice its budget: then the bound counts more, and the oldest leave unread.
    Instructions never leave: there is one message of them at most.
    """
    conversation = [message for message in messages if not isinstance(message, SystemMessage)]
    staying = trim(conversation, budget, message_tokens)
    if waiting is not None:
        unread = conversation[_place_of_first(waiting, conversation) :]
        staying = max(staying, trim(unread, budget * HARD_WINDOW, message_tokens), key=len)
    count = len(conversation) - len(staying)
    if count:
        count = _up_to_whole_turns(count, conversation)
    return [RemoveMessage(id=message.id or "") for message in conversation[:count]]


def _place_of_first(waiting: Collection[str | None], messages: Sequence[AnyMessage]) -> int:
    """Return the place of the first message that waits, or the number of messages if none does."""
    for place, message in enumerate(messages):
        if message.id in waiting:
            return place
    return len(messages)


def _up_to_whole_turns(count: int, messages: Sequence[AnyMessage]) -> int:
    """Return how many messages leave, at least `count`, so that what stays begins with the user's words."""
    own = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
    # A conversation without the user's words has no turns.
    last = own[-1] if own else count
    while count < last and not isinstance(messages[count], HumanMessage):
        count += 1
    # The last exchange always stays, whatever it takes.
    return min(count, last)


def _since_last_reply(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]) -> list[AnyMessage]:
    ours = reply_ids(branch)
    for place in reversed(range(len(messages))):
        if messages[place].id in ours:
            return list(messages[place + 1 :])
    return list(messages)
