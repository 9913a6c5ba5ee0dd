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
    if not reply:  # a mind of schema 1 names no reply
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
    """Return what was said in `messages`, oldest first: each answer, whoever gave it, with the user's words before it.

    An exchange that another agent answered counts to the turn of the next reply of ours.
    """
    turns = {answered["reply"]: answered["turn"] for answered in branch}
    exchanges: list[Exchange] = []
    words: list[str] = []
    open_exchanges = 0
    for message in messages:
        if is_users(message):
            words.append(named_text(message))
        elif isinstance(message, AIMessage) and (readable(message).strip() or message.id in turns):
            exchanges.append({"turn": 0, "user": "\n\n".join(words), "reply": readable(message)})
            words, open_exchanges = [], open_exchanges + 1
            if message.id in turns:
                for exchange in exchanges[-open_exchanges:]:
                    exchange["turn"] = turns[message.id]
                open_exchanges = 0
    return [exchange for exchange in exchanges if exchange["turn"]]


def named_text(message: AnyMessage) -> str:
    """Return a message as text, with the speaker's name in front if it has one, as in a group."""
    text = readable(message)
    return f"{message.name}: {text}" if message.name else text


def new_exchanges(exchanges: Sequence[Exchange], known: Sequence[Exchange]) -> list[Exchange]:
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


def truncate_exchanges(exchanges: list[Exchange], tokens: int) -> list[Exchange]:
    """Cut the longest words of `exchanges` so that together they take at most `tokens` tokens."""
    share = max(1, tokens // max(1, 2 * len(exchanges)))
    return [
        {
            "turn": exchange["turn"],
            "user": truncate_middle(exchange["user"], share),
            "reply": truncate_middle(exchange["reply"], share),
        }
        for exchange in exchanges
    ]


def messages_to_drop(
    messages: Sequence[AnyMessage], *, budget: int, waiting: Collection[str | None] | None
) -> list[RemoveMessage]:
    """Say which messages leave a window of `budget` tokens: the oldest, in steps, whole turns at a time.

    `waiting` holds the ids of the messages that have not been thought about; None if nothing thinks. Such a message
    stays, unless the window has grown to twice its budget: then the bound counts more, and the oldest leave unthought.
    Instructions never leave: there is one message of them at most.
    """
    spoken = [message for message in messages if not isinstance(message, SystemMessage)]
    staying = trim(spoken, budget, message_tokens)
    if waiting is not None:
        first = next((place for place, message in enumerate(spoken) if message.id in waiting), len(spoken))
        unthought = spoken[first:]
        staying = max(staying, trim(unthought, budget * HARD_WINDOW, message_tokens), key=len)
    gone = len(spoken) - len(staying)
    if gone:
        last = max((place for place, message in enumerate(spoken) if isinstance(message, HumanMessage)), default=gone)
        while gone < last and not isinstance(spoken[gone], HumanMessage):
            gone += 1
        gone = min(gone, last)  # the last exchange always stays
    return [RemoveMessage(id=message.id or "") for message in spoken[:gone]]


def _since_last_reply(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]) -> list[AnyMessage]:
    ours = reply_ids(branch)
    for place in reversed(range(len(messages))):
        if messages[place].id in ours:
            return list(messages[place + 1 :])
    return list(messages)
