"""What a text asks for: a recommendation, a plan or an act, or only a fact, a piece of writing, or nothing."""

import re
from typing import Literal, NamedTuple

from mirror_graph.relevance.reading import read
from mirror_graph.relevance.wording import pattern

Intent = Literal["request", "statement", "facts", "writing", "introduction"]

_SENTENCE = re.compile(r"[^.!?\u3002\uff01\uff1f\u061f\n]*[.!?\u3002\uff01\uff1f\u061f\n]*")
_QUESTION = re.compile("[?\uff1f\u061f]")

CONSUMED = frozenset({"drink", "drug", "habit", "medicine"})
"""Fields in which to ask what a thing is, is half of asking for it."""


class Asked(NamedTuple):
    """What of a text is compared with the constraints, what is only written about, and whether anything is asked."""

    words: str
    writing: str
    is_something: bool


def asked_part(text: str) -> Asked:
    """Leave out of `text` what asks for nothing that could be done: facts, pieces of writing, introductions."""
    sentences = [sentence for sentence in _SENTENCE.findall(text) if sentence.strip()]
    intents = [intent_of(sentence) for sentence in sentences]
    left_out: set[Intent] = {"facts", "writing"}
    # What people say of themselves belongs to what they ask for: "I love skydiving. Shall I sign up?"
    if "request" not in intents:
        left_out.add("introduction")
    words = [sentence for sentence, intent in zip(sentences, intents, strict=True) if intent not in left_out]
    writing = [sentence for sentence, intent in zip(sentences, intents, strict=True) if intent == "writing"]
    return Asked("".join(words), "".join(writing), any(intent in ("request", "statement") for intent in intents))


def asks_for_something(text: str) -> bool:
    """Say whether a sentence of `text` is a request of the user's own, and none of what somebody else says or wants."""
    return any(
        intent_of(sentence) == "request" and (_QUESTION.search(sentence) or not pattern("reported").search(sentence))
        for sentence in _SENTENCE.findall(text)
        if sentence.strip()
    )


def intent_of(sentence: str) -> Intent:
    """Say what one sentence is for."""
    if pattern("farewell").search(sentence):
        return "request"
    if pattern("writing").search(sentence) and not pattern("plan").search(sentence):
        return "writing"
    if pattern("request").search(sentence):
        return "request"
    if pattern("piece").search(sentence) and not pattern("plan").search(sentence):
        return "writing"
    if pattern("facts").search(sentence):
        return "facts"
    if pattern("explanation").search(sentence) and CONSUMED.isdisjoint(read(sentence).fields):
        return "facts"
    if _QUESTION.search(sentence):
        return "request"
    if pattern("introduction").search(sentence) and not pattern("planned").search(sentence):
        return "introduction"
    return "statement"
