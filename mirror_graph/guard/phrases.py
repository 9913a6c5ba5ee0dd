"""Lists of words and phrases that are looked up in a text, in scripts with and without spaces between words."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from mirror_graph.ledger.words import is_unspaced, split

_SHORTEST = 3
"""The fewest letters of a beginning that stands for a word."""

_FIRST_UNSPACED = "\u0e00"
"""The first letter of a script without spaces, in the order of Unicode. Only words from there on can be runs."""


class Phrases:
    """Phrases from comma-separated lists. A `*` stands for any ending of a word, or in front of it for any beginning.

    Case and accents make no difference. In scripts without spaces a phrase is found anywhere in a run of characters.
    """

    def __init__(self, lists: Iterable[str]) -> None:
        self._whole: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
        self._beginnings: defaultdict[str, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
        self._endings: tuple[str, ...] = ()
        self._runs: dict[str, list[str]] = defaultdict(list)
        for spelling in ",".join(lists).split(","):
            self._add(spelling.strip())

    def _add(self, spelling: str) -> None:
        words = _with_stars(spelling)
        if not words:
            return
        first, *rest = words
        if is_unspaced(first):
            run = "".join(split(spelling))
            self._runs[run[0]].append(run)
        elif spelling.startswith("*"):
            self._endings += (first,)
        elif first.endswith("*"):
            self._beginnings[first[:_SHORTEST]].append((first[:-1], tuple(rest)))
        else:
            self._whole[first].append(tuple(rest))

    def is_in(self, words: Sequence[str]) -> bool:
        """Say whether one of the phrases stands in `words`, which `split` returned."""
        for place, word in enumerate(words):
            # Most words begin no phrase, which is quicker to see than to look for the phrases that they begin.
            begins = word in self._whole or word[:_SHORTEST] in self._beginnings or word.endswith(self._endings)
            if (begins or word[0] >= _FIRST_UNSPACED) and self.stands_at(words, place):
                return True
        return False

    def stands_at(self, words: Sequence[str], place: int) -> bool:
        """Say whether one of the phrases begins at `place`; in a run without spaces, anywhere in it."""
        word = words[place]
        if is_unspaced(word):
            return any(
                word.startswith(run, start) for start, first in enumerate(word) for run in self._runs.get(first, ())
            )
        for rest in self._whole.get(word, ()):
            if _follows(words, place + 1, rest):
                return True
        for beginning, rest in self._beginnings.get(word[:_SHORTEST], ()):
            if word.startswith(beginning) and _follows(words, place + 1, rest):
                return True
        return word.endswith(self._endings)

    def opens(self, text: str) -> bool:
        """Say whether `text` begins with one of the phrases. A phrase of one word ends with a mark: "No, ..."."""
        words = split(text[:200])
        if not words:
            return False
        if is_unspaced(words[0]):
            fitting = [run for run in self._runs.get(words[0][0], ()) if words[0].startswith(run)]
            return any(len(run) > 1 or words[0] == run for run in fitting)
        for rest in self._whole.get(words[0], ()):
            if rest and _follows(words, 1, rest):
                return True
            if not rest and _is_followed_by_mark(text):
                return True
        return False


def _with_stars(spelling: str) -> list[str]:
    """Split a phrase into words, each with the `*` it ends with."""
    words: list[str] = []
    for part in spelling.split():
        parts = split(part)
        if parts and part.endswith("*"):
            parts[-1] += "*"
        words += parts
    return words


def _follows(words: Sequence[str], place: int, rest: tuple[str, ...]) -> bool:
    if not rest:
        return True
    if len(words) < place + len(rest):
        return False
    for word, expected in zip(words[place:], rest, strict=False):
        if expected.endswith("*"):
            if not word.startswith(expected[:-1]):
                return False
        elif word != expected:
            return False
    return True


def _is_followed_by_mark(text: str) -> bool:
    """Say whether the first word of `text` ends with a mark rather than with a space: "No." and "No, thanks"."""
    letters = text.lstrip(" \n\t*_\"'“”„«»¡¿")
    end = next((place for place, letter in enumerate(letters) if not letter.isalnum()), len(letters))
    return not letters[end : end + 1].isspace()
