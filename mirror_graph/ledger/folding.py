"""One spelling for matching, with the way back to the user's own: no case, no accents, single spaces."""

import unicodedata
from functools import lru_cache
from typing import NamedTuple

_PLAIN = {
    **dict.fromkeys("’‘ʼ´`", "'"),
    **dict.fromkeys('"“”„«»「」『』*', ""),
    "œ": "oe",
    "Œ": "oe",
    "æ": "ae",
    "Æ": "ae",
}
_VOICED = "\u3099\u309a"  # they tell one kana from another


class Folded(NamedTuple):
    """`source` as it is matched; `places[i]` is where the character `text[i]` stands in it."""

    text: str
    places: list[int]
    source: str

    def verbatim(self, start: int, end: int) -> str:
        """Return what stands in the source for `text[start:end]`, to the letter."""
        return self.source[self.places[start] : self.places[end]].strip(" \n\t\r\"'“”‘’„«»*")


def fold(heard: str, source: str) -> Folded:
    """Fold `heard`, which is `source` with some of its characters blanked out."""
    text: list[str] = []
    places: list[int] = []
    for place, character in enumerate(heard):
        plain = fold_character(character)
        if plain == " " and text[-1:] in ([" "], ["\n"]):
            continue
        text.extend(plain)
        places.extend([place] * len(plain))
    return Folded("".join(text), [*places, len(source)], source)


@lru_cache(maxsize=4096)
def fold_character(character: str) -> str:
    """Return the letters that `character` is matched as: none for an accent or an invisible one."""
    if character != "\n" and character.isspace():
        return " "
    plain = caseless(_PLAIN.get(character, character))
    return unicodedata.normalize("NFC", "".join(letter for letter in plain if not _is_dropped(letter)))


def caseless(text: str) -> str:
    """Return `text` decomposed and without case: a bold capital of mathematics is none until it is a plain one."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


def _is_dropped(letter: str) -> bool:
    accent = unicodedata.combining(letter) and letter not in _VOICED
    return bool(accent) or unicodedata.category(letter) == "Cf"
