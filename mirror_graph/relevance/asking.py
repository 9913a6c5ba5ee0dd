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
    """Return what `text` asks for, without what could not be done: facts, pieces of writing, introductions."""
    sentences = _sentences(text)
    intents = list(map(intent_of, sentences))
    left_out: set[Intent] = {"facts", "writing"}
    # What people say of themselves belongs to what they ask for: "I love skydiving. Shall I sign up?"
    if "request" not in intents:
        left_out.add("introduction")
    words: list[str] = []
    writing: list[str] = []
    for sentence, intent in zip(sentences, intents, strict=True):
        if intent not in left_out:
            words.append(sentence)
        if intent == "writing":
            writing.append(sentence)
    return Asked("".join(words), "".join(writing), "request" in intents or "statement" in intents)


def asks_for_something(text: str) -> bool:
    """Say whether a sentence of `text` is a request of the user's own, and none of what somebody else says or wants."""
    for sentence in _sentences(text):
        if intent_of(sentence) != "request":
            continue
        # "My sister says I should try it" reports a wish. "Should I, as she says?" is the user's own question.
        if _QUESTION.search(sentence) or not pattern("reported").search(sentence):
            return True
    return False


def asks_openly(text: str) -> bool:
    """Say whether a request leaves it to the reply to name something, rather than asking about what it names itself."""
    return bool(pattern("openly").search(text))


def intent_of(sentence: str) -> Intent:
    """Say what one sentence is for."""
    if pattern("farewell").search(sentence):
        return "request"
    # "Write a poem about peanuts" asks for words only. "Write me a plan for a week of meals" will be carried out.
    if _has("writing", sentence, but_not="plan"):
        return "writing"
    if pattern("request").search(sentence):
        return "request"
    if _has("piece", sentence, but_not="plan"):
        return "writing"
    if _asks_for_facts(sentence):
        return "facts"
    if _QUESTION.search(sentence):
        return "request"
    # "I love skydiving" introduces the user. "I love skydiving and jump on Friday" is a plan.
    if _has("introduction", sentence, but_not="planned"):
        return "introduction"
    return "statement"


def _has(name: str, sentence: str, *, but_not: str) -> bool:
    return pattern(name).search(sentence) is not None and not pattern(but_not).search(sentence)


def _asks_for_facts(sentence: str) -> bool:
    if pattern("facts").search(sentence):
        return True
    # "What is absinthe?" may be half of asking for it. "What is a peanut farm?" is not.
    return pattern("explanation").search(sentence) is not None and CONSUMED.isdisjoint(read(sentence).fields)


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE.findall(text) if sentence.strip()]
