"""One spelling for comparing words: no case, no accents, no common endings."""

import re
import unicodedata
from functools import lru_cache

from mirror_graph.ledger.folding import caseless

_WORD = re.compile(r"[^\W_]+")
_VOWEL = re.compile(r"[aeiouy]")
_SHORT = re.compile(r"[^aeiouy]*[aeiouy][^aeiouwxy]")
_GENITIVE = re.compile(r"['\u2019]s\b")


def split(text: str) -> list[str]:
    """Return the words of `text` without case and accents; `ß` is `ss`, and a hyphen parts two words."""
    plain = caseless(_GENITIVE.sub("", text))
    return _WORD.findall("".join(letter for letter in plain if not unicodedata.combining(letter)))


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Take the commonest endings off a word that `split` returned: "climbing", "climbs" and "climb" are one."""
    if len(word) < 4:
        return word
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x")):
        if word.endswith(ending):
            return word[: -len(ending)] + instead
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        base = word.removesuffix(ending)
        if base != word and len(base) > 2 and _VOWEL.search(base) and not word.endswith("eed"):
            if base[-1] == base[-2] and base[-1] not in "elsz":
                return base[:-1]
            word = base + "e"
            break
    # "care" is no car and "rated" no rat, though "dancing" is "dance", and "walking" is "walk".
    return word[:-1] if word.endswith("e") and len(word) > 3 and not _SHORT.fullmatch(word[:-1]) else word
