"""When two constraints are the same one: the same kind, person and danger, however it was spelt."""

import re
from hashlib import sha256

from mirror_graph.ledger.folding import fold_character
from mirror_graph.state.text import sanitize
from mirror_graph.state.values import Kind

_ARTICLES = frozenset(
    "a an the any all some my der die das den dem ein eine einen einem einer mein meine "
    "el la los las lo un una unos unas mi mis le les l du des d une mon ma mes "
    "o os as um uma uns umas meu minha il gli i uno mio mia".split()
)


def constraint_id(kind: Kind, about: str, subject: str) -> str:
    """Return the id that every telling of one constraint shares."""
    return sha256("\n".join([kind, normalised(subject), normalised(about)]).encode()).hexdigest()[:10]


def normalised(about: str) -> str:
    """Return `about` as it is compared: no case, no accents, no leading article, no plural."""
    words = re.findall(r"[^\W_]+", "".join(map(fold_character, sanitize(about))))
    while len(words) > 1 and words[0] in _ARTICLES:
        words = words[1:]
    return " ".join(map(_singular, words))


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1]
