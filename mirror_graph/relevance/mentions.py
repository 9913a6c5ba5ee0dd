"""Separates what a message asks from the sentences that only mention a constraint."""

import re
from collections.abc import Sequence

from mirror_graph.ledger.words import count_words
from mirror_graph.relevance.relations import content
from mirror_graph.state.values import SafetyConstraint

THRESHOLD = 2
"""From how many words that say something on, what stands next to the mentions is what is asked."""

_ASKS = re.compile("[?\uff1f\u061f]")


def without_mentions(constraints: Sequence[SafetyConstraint], words: str) -> str:
    """Return `words` without the sentences that only mention `constraints`.

    Return all of them if hardly anything else is there: "I have epilepsy, and it is a strobe night. Shall I go?"
    """
    quotes = {constraint["source"]["quote"] for constraint in constraints} - {""}
    # A sentence that asks is never left out, even if a constraint was read in it.
    mentioned = [quote for quote in quotes if quote in words and not _ASKS.search(quote)]
    if not mentioned:
        return words
    rest = words
    # The longest first: a short quote may stand inside of a long one.
    for quote in sorted(mentioned, key=lambda quote: (-len(quote), quote)):
        rest = rest.replace(quote, "\n", 1)
    left = sum(map(count_words, content(rest)))
    return rest if left >= THRESHOLD else words


def mentioned_in(constraints: Sequence[SafetyConstraint], words: str) -> list[str]:
    """Return the ids of the constraints whose own sentence is part of `words`."""
    ids: list[str] = []
    for constraint in constraints:
        quote = constraint["source"]["quote"]
        if quote and quote in words:
            ids.append(constraint["id"])
    return ids
