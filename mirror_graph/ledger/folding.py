"""Folding text for matching (no case, accents, pictures or repeated spaces), with a way back to the original."""

import re
import unicodedata
from functools import lru_cache
from itertools import chain, repeat
from typing import NamedTuple

_PLAIN = {
    **dict.fromkeys("’‘ʼ´`", "'"),
    **dict.fromkeys('"“”„«»「」『』*', ""),
    "_": " ",
    "œ": "oe",
    "Œ": "oe",
    "æ": "ae",
    "Æ": "ae",
}
_VOICED = "\u3099\u309a"  # they tell one kana from another
_SPACES = re.compile(r"(?<=[ \n]) +")


class Folded(NamedTuple):
    """`source` as it is matched; `places[i]` is where the character `text[i]` stands in it."""

    text: str
    places: list[int]
    source: str

    def verbatim(self, start: int, end: int) -> str:
        """Return the source of `text[start:end]`, to the letter."""
        return self.source[self.places[start] : self.places[end]].strip(" \n\t\r\"'“”‘’„«»*")


class _Letters(dict[str, str]):
    """Every character as it is matched, worked out when it is first met."""

    def __missing__(self, character: str) -> str:
        letters = fold_character(character)
        if len(self) < 4096:
            self[character] = letters
        return letters


_letters = _Letters()


def fold(blanked: str, source: str, offset: int = 0) -> Folded:
    """Fold `blanked`, a part of `source` from `offset` on with some of its characters blanked out, in linear time."""
    pieces = [_letters[character] for character in blanked]
    text = "".join(pieces)
    if len(text) == len(pieces) and "" not in pieces:
        places = list(range(offset, offset + len(pieces)))
    else:
        places = list(chain.from_iterable(map(repeat, range(offset, offset + len(pieces)), map(len, pieces))))
    kept_text: list[str] = []
    kept_places: list[int] = []
    start = 0
    for spaces in _SPACES.finditer(text):
        kept_text.append(text[start : spaces.start()])
        kept_places += places[start : spaces.start()]
        start = spaces.end()
    if start:
        text, places = "".join([*kept_text, text[start:]]), [*kept_places, *places[start:]]
    return Folded(text, [*places, offset + len(blanked)], source)


@lru_cache(maxsize=4096)
def fold_character(character: str) -> str:
    """Return the letters `character` is matched as: none for an accent or an invisible one, a space for a picture."""
    if character != "\n" and character.isspace():
        return " "
    if unicodedata.category(character) == "So":
        return " "
    plain = caseless(_PLAIN.get(character, character))
    return unicodedata.normalize("NFC", "".join(letter for letter in plain if not _is_dropped(letter)))


def caseless(text: str) -> str:
    """Return `text` decomposed and without case: a bold capital of mathematics is none until it is a plain one."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


def _is_dropped(letter: str) -> bool:
    accent = unicodedata.combining(letter) and letter not in _VOICED
    return bool(accent) or unicodedata.category(letter) == "Cf"
