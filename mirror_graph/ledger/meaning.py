"""Whether the sentence that a model quotes states a danger of somebody's for real."""

import re

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.lexicon import lexicon

DENIED = re.compile(
    r"\b(?:not|never|n't|nicht|keine?|pas|nao|no|non|ne) (?:\w+ ){0,2}"
    r"(?:allerg|alerg|afraid|scared|terrified|phobic|intoleran|diabet|epilept|addicted|pregnant)"
)
FIRST_PERSON = re.compile(
    r"\b(?:i|my|me|mine|myself|ich|mir|mich|mein\w*|je|moi|mon|ma|mes|yo|mi|mis|soy|tengo|sufro|estoy|padezco"
    r"|eu|meu|minha|sou|tenho|sofro|estou|io|mio|mia|sono|ho|soffro)\b|\bj'"
)
IDIOM = re.compile(
    r"\b(?:(?:die|died|dying) (?:of )?(?:laugh|bored)|dying to|this (?:tv )?(?:show|series|song|game)"
    r"|(?:allerg\w*|phobi\w*|afraid|scared) (?:to|of) mondays?)"
)
LATIN = re.compile("[a-z]")
QUESTION = re.compile(r"[,;:\u2013\u2014-](?: \S+){4,}")
"""A question that follows a statement in one sentence; "don't I?" and "right?" only ask whether it is true."""

LONGEST_ABOUT = 100
LONGEST_WHOSE = 60


def is_stated(quote: str, sentence: str) -> bool:
    """Say whether `quote` is stated in `sentence`: not asked, no figure of speech, not denied, imagined or over."""
    said = _told(fold(quote, quote).text.strip(), fold(sentence, sentence).text)
    if "?" in said or DENIED.search(said) or IDIOM.search(said):
        return False
    return not any(
        language.undone.search(said)
        or any(language.unreal.search(said, 0, subject.start()) for subject in language.first.finditer(said))
        for language in lexicon().languages
    )


def _told(quote: str, sentence: str) -> str:
    """Return a sentence up to the question that follows what it tells: "I take warfarin, | which cheese can I eat?"."""
    place = sentence.find(quote)
    if place < 0 or "?" not in sentence or not FIRST_PERSON.match(sentence):
        return sentence
    asked = QUESTION.search(sentence, place + len(quote))
    return sentence[: asked.start()] if asked else sentence


def is_of_the_user(sentence: str) -> bool:
    """Say whether `sentence` speaks in the first person, and of nobody it names."""
    said = fold(sentence, sentence).text
    named = any(language.others.search(said) for language in lexicon().languages)
    return not named and bool(FIRST_PERSON.search(said) or not LATIN.search(said))


def is_in(part: str, whole: str, longest: int) -> bool:
    """Say whether `part` is one short line that stands in `whole`."""
    part = part.strip()
    return 0 < len(part) <= longest and "\n" not in part and fold(part, part).text in fold(whole, whole).text
