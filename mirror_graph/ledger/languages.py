"""Which language a text is in, by its script and by the everyday words of each language (`languages.toml`)."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from mirror_graph.ledger.words import split

_KANA = re.compile("[\u3041-\u30ff]")
_HAN = re.compile("[\u3400-\u9fff]")
_KNOWN_SHARE = 0.1
"""Which share of a text's words a language has to know, so that the text counts as being in it."""


def language_of(text: str) -> str:
    """Return the ISO 639-1 code of a text's language; `""` if it is none of the eight."""
    if _KANA.search(text):
        return "ja"
    if _HAN.search(text):
        return "zh"
    return language_of_words(split(text))


def language_of_words(words: Sequence[str]) -> str:
    """Do as `language_of` does, for the words of a text that `split` returned, in a script with spaces."""
    counts: dict[str, int] = {}
    for code, everyday in _everyday_words().items():
        counts[code] = sum(word in everyday for word in words)
    code = max(counts, key=lambda name: counts[name])
    return code if counts[code] > _KNOWN_SHARE * len(words) else ""


@cache
def _everyday_words() -> Mapping[str, frozenset[str]]:
    listed = tomllib.loads(files("mirror_graph.ledger").joinpath("languages.toml").read_text("utf-8"))
    return {code: frozenset(split(words)) for code, words in listed.items()}
