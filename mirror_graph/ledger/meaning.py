"""Whether the sentence that a model quotes states a danger of somebody's for real."""

import re

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.lexicon import lexicon

DENIED = re.compile(
    r"\b(?:not|never|n't|nicht|keine?|pas|nao|no|non|ne) (?:\w+ ){0,2}"
    r"(?:allerg|alerg|afraid|scared|terrified|phobic|intoleran|diabet|epilept|addicted|pregnant)"
)
LONGEST_ABOUT = 100
LONGEST_WHOSE = 60


def is_stated(sentence: str) -> bool:
    """Say whether `sentence` is a statement: no question, nothing denied, imagined, played, or over."""
    said = fold(sentence, sentence).text
    if "?" in sentence or DENIED.search(said):
        return False
    return not any(
        language.undone.search(said)
        or any(language.unreal.search(said, 0, subject.start()) for subject in language.first.finditer(said))
        for language in lexicon().languages
    )


def is_of_the_user(sentence: str) -> bool:
    """Say whether `sentence` speaks of the user, and of nobody they name."""
    said = fold(sentence, sentence).text
    return not any(language.others.search(said) for language in lexicon().languages)


def is_in(part: str, whole: str, longest: int) -> bool:
    """Say whether `part` is one short line that stands in `whole`."""
    part = part.strip()
    return 0 < len(part) <= longest and "\n" not in part and fold(part, part).text in fold(whole, whole).text
