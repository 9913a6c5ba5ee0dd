"""Finding a quote in the user's own words."""

import re

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.own_words import own_words

SENTENCE = re.compile(r"[^.!?;\n\u3002 ](?:[^.!?;\n\u3002]|[.!?](?![ \n]|\Z))*+[.!?;\u3002]*")

SHORTEST = 4
"""Letters a quote must have: less than that stands in any message."""


def find_quote(quote: str, message: str) -> str | None:
    """Return the passage of `message` that `quote` repeats, to the letter of `message`, or None if there is none.

    Case, accents, typographic quotation marks and white space do not matter. What the message itself quotes or
    pastes is not in the user's own words and is not found.
    """
    folded = fold(own_words(message), message)
    place = _place_of(quote, folded.text)
    return folded.verbatim(*place) if place else None


def sentence_around(quote: str, message: str) -> str | None:
    """Return the whole sentence of the user's own that holds `quote`, or None if none does."""
    folded = fold(own_words(message), message)
    place = _place_of(quote, folded.text)
    if place is None:
        return None
    start, end = place
    # A quote may run over several sentences, and then all of them count as one.
    touched = [found for found in SENTENCE.finditer(folded.text) if found.start() < end and found.end() > start]
    return folded.verbatim(touched[0].start(), touched[-1].end()) if touched else None


def overlap(one: str, other: str) -> bool:
    """Say whether one of two quotes is part of the other."""
    return one in other or other in one


def _place_of(quote: str, text: str) -> tuple[int, int] | None:
    sought = fold(quote, quote).text.strip(" \n.,;:!?\u2026'\"")
    if len(sought) < SHORTEST:
        return None
    place = text.find(sought)
    while place >= 0 and not _whole_words(text, place, place + len(sought)):
        place = text.find(sought, place + 1)
    return (place, place + len(sought)) if place >= 0 else None


def _whole_words(text: str, start: int, end: int) -> bool:
    return not _is_inside_word(text, start) and not _is_inside_word(text, end)


def _is_inside_word(text: str, place: int) -> bool:
    """Say whether a place parts a word. Scripts without spaces have no such places."""
    if not 0 < place < len(text):
        return False
    return text[place - 1].isalnum() and text[place].isalnum() and text[place].isascii()
