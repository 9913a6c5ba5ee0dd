"""One spelling for comparing words: no case, no accents, no common endings, in scripts with and without spaces."""

import math
import re
import tomllib
import unicodedata
from functools import cache, lru_cache
from importlib.resources import files

from mirror_graph.ledger.folding import caseless

# Chinese characters, kana and hangul, Thai, Lao, Burmese and Khmer: words of these stand without spaces between them,
# or with endings that are written on to them.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
)
_WORD = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")
_PLAIN_WORD = re.compile("[a-z0-9]+")
_RUN = re.compile(rf"[{_UNSPACED}]+")
_VOICED = "\u3099\u309a"  # they tell one kana from another
_VOWEL = re.compile(r"[aeiouy]")
_SHORT = re.compile(r"[^aeiouy]*[aeiouy][^aeiouwxy]")
_GENITIVE = re.compile(r"['\u2019]s\b")
_UMLAUT = re.compile("(?<=[aou])e")

_PLURALS = (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"))
_PLURAL_ENDINGS = ("ies", "sses", "ches", "shes", "xes")

CHARACTERS_PER_WORD = 2
"""How many characters of a script without spaces count as one word."""


def split(text: str) -> list[str]:
    """Return the words of `text` without case and accents; `ß` is `ss`, and a hyphen parts two words.

    A run of characters of a script that writes no spaces is one item of the list.
    """
    text = _GENITIVE.sub("", text)
    if text.isascii():
        return _PLAIN_WORD.findall(text.lower())
    letters = [letter for letter in caseless(text) if letter in _VOICED or not unicodedata.combining(letter)]
    return _WORD.findall(unicodedata.normalize("NFC", "".join(letters)))


def is_unspaced(word: str) -> bool:
    """Say whether an item that `split` returned is a run of a script without spaces."""
    return _RUN.match(word) is not None


def count_words(text: str) -> int:
    """Count the words of `text`, and in scripts without spaces every two characters as one."""
    count = 0
    for word in split(text):
        count += math.ceil(len(word) / CHARACTERS_PER_WORD) if is_unspaced(word) else 1
    return count


def without_umlaut(word: str) -> str:
    """Return the spelling that "ue" has if it stands for "ü": `split` makes "u" of "ü"."""
    return _UMLAUT.sub("", word)


def singular(word: str) -> str:
    """Take the ending of an English plural off a word."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    for ending, instead in _PLURALS:
        if word.endswith(ending):
            return word.removesuffix(ending) + instead
    return word[:-1]


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """Take the commonest endings off a word that `split` returned: "climbing", "climbs" and "climb" are one."""
    if len(word) < 4:
        return word
    if word.endswith(_PLURAL_ENDINGS):
        return singular(word)
    return _without_silent_e(_without_verb_ending(singular(word)))


def _without_verb_ending(word: str) -> str:
    for ending in ("ing", "ed"):
        base = word.removesuffix(ending)
        if base == word or len(base) < 3 or not _VOWEL.search(base) or word.endswith("eed"):
            continue
        # "Swimming" is "swim", and "falling" is "fall".
        if base[-1] == base[-2] and base[-1] not in "elsz":
            return base[:-1]
        return base + "e"
    return word


def _without_silent_e(word: str) -> str:
    # "care" is no car and "rated" no rat, though "dancing" is "dance", and "walking" is "walk".
    if word.endswith("e") and len(word) > 3 and not _SHORT.fullmatch(word[:-1]):
        return word[:-1]
    return word


@cache
def word_list(name: str) -> frozenset[str]:
    """Return one of the word lists of `words.toml`: "articles" or "generic"."""
    table = tomllib.loads(files("mirror_graph.ledger").joinpath("words.toml").read_text("utf-8"))
    return frozenset(table[name].split())
