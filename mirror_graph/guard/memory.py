"""What a list of messages says about the turn: what is asked, and what the user was reminded of lately."""

from collections.abc import Mapping, Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from mirror_graph.ledger.words import count_words

SHORT = 8
"""Words under which a request is read together with the one before it: "shall I book it?"."""


def request_in(messages: Sequence[BaseMessage]) -> str:
    """Return the user's words that wait for a reply, with those before them if they are few."""
    spoken = [message.text for message in messages if isinstance(message, HumanMessage)]
    waiting = 0
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            waiting += 1
        elif waiting:
            break
    latest = spoken[len(spoken) - waiting :]
    if count_words(" ".join(latest)) < SHORT:
        latest = spoken[-waiting - 1 :]
    return "\n".join(latest)


def noted_lately(messages: Sequence[BaseMessage], turns: int) -> Mapping[str, frozenset[str]]:
    """Return the relations that replies of the last `turns` turns, this one included, have reminded of.

    They are given by the id of the constraint. A turn begins with a message of the user's after any other message.
    """
    noted: dict[str, frozenset[str]] = {}
    begun = 0
    for place in reversed(range(len(messages))):
        message = messages[place]
        is_first = place == 0 or not isinstance(messages[place - 1], HumanMessage)
        if isinstance(message, HumanMessage) and is_first:
            begun += 1
            if begun >= turns:
                break
        if isinstance(message, AIMessage):
            for mark in message.response_metadata.get("mirror", {}).get("guarded", ()):
                noted[mark["constraint"]] = noted.get(mark["constraint"], frozenset()) | frozenset(mark["relations"])
    return noted
