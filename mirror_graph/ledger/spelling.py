"""Correcting misspelt conditions for matching: "im alergic to penuts" is found, and quoted as typed."""

import re
from functools import cache, lru_cache

from mirror_graph.ledger.folding import Folded
from mirror_graph.ledger.lexicon import lexicon

_WORD = re.compile(r"[^\W\d_]+")
SHORTEST = 4
"""Letters of a word that may be misspelt: a shorter one is too near to others."""

LONGEST = 24

LONG = 9
"""From how many letters on two of them may be wrong."""


def corrected(folded: Folded) -> Folded:
    """Return `folded` with each misspelt word of a condition spelt right; its way back to the source stays.

    One letter may be missing, too many, wrong or swapped with the next; two in a word of nine or more. The time is
    linear in the length of the text.
    """
    text: list[str] = []
    places: list[int] = []
    start = 0
    for word in _WORD.finditer(folded.text):
        meant = _meant(word[0])
        if meant is None or not _is_english(folded.text, *word.span()):
            continue
        begin, end = word.span()
        text += [folded.text[start:begin], meant]
        places += folded.places[start:begin]
        for place in range(begin, begin + len(meant)):
            # A letter that was left out stands where the next one does.
            places.append(folded.places[min(place, end - 1)])
        start = end
    if not start:
        return folded
    return Folded("".join([*text, folded.text[start:]]), [*places, *folded.places[start:]], folded.source)


_ENGLISH = re.compile(r"\b(?:i'm|i've|ive|i|my|the|have|and|with|to|of|from|was|is|got|take)\b")
_NEAR = 60


def _is_english(text: str, start: int, end: int) -> bool:
    """Say whether the words around a place are English: "epilepsie" is right in other languages."""
    return _ENGLISH.search(text, max(0, start - _NEAR), end + _NEAR) is not None


@lru_cache(maxsize=8192)
def _meant(word: str) -> str | None:
    """Return the word that a misspelt one was meant to be, or None for a word that stays."""
    if word in lexicon().typos:
        return lexicon().typos[word]
    if not SHORTEST <= len(word) <= LONGEST:
        return None
    # A word that is right as it stands, or one that only looks like a condition: "dancer" is no "cancer".
    if word in lexicon().spelled or word in lexicon().lookalikes:
        return None
    candidates = _candidates(word)
    # One wrong letter is likelier than two.
    for most in (1, 2):
        near = [candidate for candidate in candidates if _may_be(word, candidate, most)]
        if near:
            return max(near, key=lambda candidate: (len(candidate), candidate))
    return None


def _candidates(word: str) -> set[str]:
    """Return the words of a condition that have something in common with `word` when a letter or two are left out."""
    parts = {word, *_without_one_letter(word)}
    if len(word) >= LONG:
        for part in tuple(parts):
            parts.update(_without_one_letter(part))
    candidates: set[str] = set()
    for part in parts:
        candidates.update(_by_deletion().get(part, ()))
    return candidates


def _may_be(word: str, candidate: str, most: int) -> bool:
    """Say whether `word` is `candidate` with at most `most` letters wrong."""
    # In a short word two wrong letters make another word.
    if most == 2 and min(len(word), len(candidate)) < LONG:
        return False
    # People seldom mistype the first letter, and another one is another word: "bees" is no "fees".
    return word[0] == candidate[0] and _is_within(word, candidate, most)


@cache
def _by_deletion() -> dict[str, list[str]]:
    """Return every word of a condition by what is left of it without one letter, or without none."""
    found: dict[str, list[str]] = {}
    for word in sorted(lexicon().spelled):
        for near in {word, *_without_one_letter(word)}:
            found.setdefault(near, []).append(word)
    return found


def _without_one_letter(word: str) -> list[str]:
    return [word[:place] + word[place + 1 :] for place in range(len(word))]


def _is_within(one: str, other: str, most: int) -> bool:
    """Say whether at most `most` letters are missing, too many, wrong or swapped between two words."""
    if abs(len(one) - len(other)) > most:
        return False
    before: list[int] = []
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        earlier, before, row = before, row, [place]
        for column, wanted in enumerate(other, 1):
            cost = min(before[column] + 1, row[-1] + 1, before[column - 1] + (letter != wanted))
            swapped = place > 1 and column > 1 and letter == other[column - 2] and one[place - 2] == wanted
            row.append(min(cost, earlier[column - 2] + 1) if swapped else cost)
    return row[-1] <= most
