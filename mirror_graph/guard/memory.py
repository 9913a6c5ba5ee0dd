"""What a list of messages says about the turn: what is asked, and what the user was reminded of lately."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from mirror_graph.ledger.words import count_words
from mirror_graph.relevance.asking import asks_for_something
from mirror_graph.state.values import Guarded

SHORT = 8
"""Words under which a request is read together with the one before it: "shall I book it?"."""


def request_in(messages: Sequence[BaseMessage]) -> str:
    """Return the user's words that wait for a reply, with those before them if they are few."""
    user_texts = [message.text for message in messages if isinstance(message, HumanMessage)]
    waiting = 0
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            waiting += 1
        elif waiting:
            break
    latest = user_texts[len(user_texts) - waiting :]
    if count_words(" ".join(latest)) < SHORT:
        latest = user_texts[-waiting - 1 :]
    return "\n".join(latest)


def noted_lately(messages: Sequence[BaseMessage], turns: int, request: str = "") -> Mapping[str, frozenset[str]]:
    """Return the relations that replies of the last `turns` turns, this one included, have reminded of.

    They are given by the id of the constraint. A reminder of when the user only stated something ("they would all love
    the satay") does not count once `request` asks for it: what the user is answered then is what they act on.
    """
    asks = asks_for_something(request)
    noted: dict[str, frozenset[str]] = {}
    for words, marks in islice(_latest_turns(messages), turns):
        if marks and asks and not asks_for_something(words):
            continue
        for mark in marks:
            noted[mark["constraint"]] = noted.get(mark["constraint"], frozenset()) | frozenset(mark["relations"])
    return noted


def _latest_turns(messages: Sequence[BaseMessage]) -> Iterator[tuple[str, list[Guarded]]]:
    """Give the user's words of each turn and what the guard added to its replies, the latest turn first.

    A turn begins with a message of the user's after any other message.
    """
    words: list[str] = []
    marks: list[Guarded] = []
    for place in reversed(range(len(messages))):
        message = messages[place]
        if isinstance(message, AIMessage):
            marks += message.response_metadata.get("mirror", {}).get("guarded", ())
        if isinstance(message, HumanMessage):
            words.insert(0, message.text)
            if place == 0 or not isinstance(messages[place - 1], HumanMessage):
                yield "\n".join(words), marks
                words, marks = [], []
    yield "", marks
