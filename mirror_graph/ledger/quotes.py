"""Whether something really is in the user's own words."""

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.voice import own_words

SHORTEST = 4
"""Letters a quote must have: less than that stands in any message."""


def find_quote(quote: str, said: str) -> str | None:
    """Return the passage of `said` that `quote` repeats, to the letter of `said`, or None where there is none.

    Case, accents, typographic quotation marks and white space do not matter. What `said` itself quotes or
    pastes is not the user's own word and is not found.
    """
    spoken = fold(own_words(said), said)
    sought = fold(quote, quote).text.strip(" \n.,;:!?…'\"")
    if len(sought) < SHORTEST:
        return None
    place = spoken.text.find(sought)
    while place >= 0 and not _whole_words(spoken.text, place, place + len(sought)):
        place = spoken.text.find(sought, place + 1)
    return spoken.verbatim(place, place + len(sought)) if place >= 0 else None


def _whole_words(text: str, start: int, end: int) -> bool:
    opens = start == 0 or not (text[start - 1].isalnum() and text[start].isalnum() and text[start].isascii())
    closes = end == len(text) or not (text[end - 1].isalnum() and text[end].isalnum() and text[end].isascii())
    return opens and closes
