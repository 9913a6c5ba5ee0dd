"""When two constraints are the same one: the same kind, person and danger, however it is spelled."""

import re
from hashlib import sha256

from mirror_graph.ledger.folding import fold_character
from mirror_graph.ledger.words import singular, word_list
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.text import sanitize
from mirror_graph.state.values import Kind

_WORD = re.compile(r"[^\W_]+")


def constraint_id(kind: Kind, about: str, subject: str) -> str:
    """Return the id that every statement of one constraint shares."""
    return sha256("\n".join([kind, normalised(subject), normalised(about)]).encode()).hexdigest()[:10]


def normalised(about: str) -> str:
    """Return `about` as it is compared: no case, no accents, no leading article, no plural."""
    words = _WORD.findall("".join(map(fold_character, sanitize(about))))
    while len(words) > 1 and words[0] in word_list("articles"):
        words = words[1:]
    return " ".join(map(singular, words))


def is_same_danger(one: SafetyConstraint, other: SafetyConstraint) -> bool:
    """Say whether two constraints are of the same kind, person and danger, but for words such as "allergy".

    "Eggs" and "egg whites" are two dangers: neither may stand for the other.
    """
    if one["kind"] != other["kind"] or normalised(one["subject"]) != normalised(other["subject"]):
        return False
    words = distinguishing_words(one)
    return bool(words) and words == distinguishing_words(other)


def distinguishing_words(constraint: SafetyConstraint) -> set[str]:
    """Return the words of a constraint's `about` that distinguish it from other dangers."""
    return set(normalised(constraint["about"]).split()) - word_list("generic")
