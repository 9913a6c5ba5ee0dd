"""Whether the sentence that a model quotes states a danger of somebody's for real, and how bad one it states."""

import re
import tomllib
import unicodedata
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.lexicon import lexicon
from mirror_graph.ledger.quotes import overlap
from mirror_graph.ledger.scan import CAN_KILL, scan
from mirror_graph.state.values import Kind, Severity

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
QUESTION = re.compile(r"[,;:\u2013\u2014-](?: \S+){4,}")
"""A question that follows a statement in one sentence; "don't I?" and "right?" only ask whether it is true."""

LONGEST_ABOUT = 100
LONGEST_WHOSE = 60


def is_asserted(quote: str, sentence: str) -> bool:
    """Say whether `quote` is stated in `sentence`: not asked, no figure of speech, not denied, imagined or over.

    Nor is a danger stated by what is only liked, eaten or borne well.
    """
    said = _asserted_part(fold(quote, quote).text.strip(), fold(sentence, sentence).text)
    if "?" in said or DENIED.search(said) or IDIOM.search(said) or _is_harmless(said):
        return False
    return not any(
        language.undone.search(said)
        or any(language.unreal.search(said, 0, subject.start()) for subject in language.first.finditer(said))
        for language in lexicon().languages
    )


def _is_harmless(said: str) -> bool:
    """Say whether a sentence tells of something the user likes or bears, and holds no word of a danger."""
    languages = lexicon().languages
    return any(language.harmless.search(said) for language in languages) and not any(
        language.harm.search(said) for language in languages
    )


def _asserted_part(quote: str, sentence: str) -> str:
    """Return a sentence up to the question that follows what it tells: "I take warfarin, | which cheese can I eat?"."""
    place = sentence.find(quote)
    if place < 0 or "?" not in sentence or not FIRST_PERSON.match(sentence):
        return sentence
    asked = QUESTION.search(sentence, place + len(quote))
    return sentence[: asked.start()] if asked else sentence


def is_of_the_user(sentence: str) -> bool:
    """Say whether `sentence` speaks in the first person, and of nobody else.

    The first person is that of the sentence's script: a sentence without one does not speak of the user, unless the
    scanner reads a danger of the user's own in it.
    """
    said = fold(sentence, sentence).text
    languages = lexicon().languages
    if any(language.others.search(said) or language.bearers.search(said) for language in languages):
        return False
    first_person = any(pattern.search(said) for pattern in _grammar().first_person)
    return first_person or any(constraint["subject"] == "user" for constraint in scan(sentence))


def believed_severity(claimed: Severity, kind: Kind, about: str, sentence: str) -> Severity:
    """Return the severity of a danger that a model calls `claimed`: life-threatening only where the words say so.

    They do where the scanner reads as much in the same sentence, or where a danger that can kill stands beside words
    of dying or of the means against it. What is called life-threatening without them is serious.
    """
    if claimed != "life-threatening":
        return claimed
    for constraint in scan(sentence):
        same = overlap(constraint["about"].casefold(), about.casefold())
        if constraint["severity"] == claimed and constraint["subject"] == "user" and same:
            return claimed
    said = fold(sentence, sentence).text
    languages = lexicon().languages
    deadly = any(language.deadly.search(said) for language in languages) or _grammar().deadly.search(said)
    harmful = any(language.harm.search(said) for language in languages) or not _has_latin(said)
    return claimed if kind in CAN_KILL and deadly and harmful else "serious"


def is_in(part: str, whole: str, longest: int) -> bool:
    """Say whether `part` is one short line that stands in `whole`."""
    part = part.strip()
    return 0 < len(part) <= longest and "\n" not in part and fold(part, part).text in fold(whole, whole).text


class _Scripts(NamedTuple):
    first_person: list[re.Pattern[str]]
    deadly: re.Pattern[str]


@cache
def _grammar() -> _Scripts:
    read = tomllib.loads(files("mirror_graph.ledger").joinpath("scripts.toml").read_text(encoding="utf-8"))
    first_person = [re.compile(_plain(words)) for words in read["first_person"].values()]
    return _Scripts([FIRST_PERSON, *first_person], re.compile(_plain(read["deadly"]["any"])))


def _plain(pattern: str) -> str:
    """Spell a pattern as folded text is."""
    return "".join(letter if letter.isascii() else fold(letter, letter).text for letter in pattern)


def _has_latin(text: str) -> bool:
    return any("LATIN" in unicodedata.name(letter, "") for letter in text if letter.isalpha())
