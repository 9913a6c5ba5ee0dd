"""Whether the sentence that a model quotes states a real danger, and how severe the danger is that it states."""

import re
import tomllib
import unicodedata
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.lexicon import Language, has_mark, lexicon
from mirror_graph.ledger.quotes import overlap
from mirror_graph.ledger.scan import CAN_KILL, scan
from mirror_graph.state.constraints import of_subject
from mirror_graph.state.values import Kind, Severity

_QUESTION = re.compile(r"[,;:\u2013\u2014-](?: \S+){4,}")
"""A question that follows a statement in one sentence. "Don't I?" and "right?" only ask whether it is true."""

ABOUT_LIMIT = 100
"""Characters of what a claim is about."""

SUBJECT_LIMIT = 60
"""Characters of the name of the person whom a claim is about."""


class _Scripts(NamedTuple):
    """What `scripts.toml` holds: the first person of the Latin script, and of any; denials; words of dying."""

    latin_first_person: re.Pattern[str]
    first_person: list[re.Pattern[str]]
    denied: re.Pattern[str]
    deadly: re.Pattern[str]


def is_asserted(quote: str, sentence: str) -> bool:
    """Say whether `sentence` states what `quote` says: not a question, a figure of speech, a denial or a fiction."""
    asserted = _asserted_part(fold(quote, quote).text.strip(), fold(sentence, sentence).text)
    # A question states nothing, and neither does a denial.
    if "?" in asserted or _scripts().denied.search(asserted):
        return False
    # What is only liked, eaten or tolerated well states no danger.
    if _is_harmless(asserted):
        return False
    # The language of the sentence is not known, so no language may read it as something that is not meant.
    return not any(_is_unmeant(language, asserted) for language in lexicon().languages)


def _is_unmeant(language: Language, asserted: str) -> bool:
    """Say whether a sentence is a figure of speech, speaks of something that is over, or imagines it."""
    if language.figure.search(asserted) or language.undone.search(asserted):
        return True
    # Only what stands in front of the user's own "I" can turn it into something imagined: "if I were ...".
    subjects = language.first.finditer(asserted)
    return any(language.unreal.search(asserted, 0, subject.start()) for subject in subjects)


def _is_harmless(asserted: str) -> bool:
    """Say whether a sentence speaks of something that the user likes or tolerates, and has no word of a danger."""
    # "I like cashews, but they make me ill": one word of a danger outweighs every word of liking.
    if has_mark(asserted, "harm"):
        return False
    return has_mark(asserted, "harmless")


def _asserted_part(quote: str, sentence: str) -> str:
    """Return a sentence without the question that follows its statement.

    Of "I take warfarin, which cheese can I eat?" it returns "I take warfarin".
    """
    place = sentence.find(quote)
    # A sentence that does not begin with "I" may be one question from its beginning, so nothing is cut off.
    if place < 0 or "?" not in sentence or not _scripts().latin_first_person.match(sentence):
        return sentence
    question = _QUESTION.search(sentence, place + len(quote))
    return sentence[: question.start()] if question else sentence


def is_of_the_user(sentence: str) -> bool:
    """Say whether `sentence` speaks in the first person, and of no other person.

    The first person is that of the sentence's script. A sentence without one speaks of the user only if the scanner
    reads a danger of the user's own in it.
    """
    folded = fold(sentence, sentence).text
    for language in lexicon().languages:
        # "My sister and I": whose danger it is cannot be read off the sentence, so it is not taken for the user's.
        if language.others.search(folded) or language.bearers.search(folded):
            return False
    for pattern in _scripts().first_person:
        if pattern.search(folded):
            return True
    # "Allergic to nuts." has no first person, and the scanner still knows that it speaks of the user.
    return bool(of_subject(scan(sentence), "user"))


def believed_severity(claimed: Severity, kind: Kind, about: str, sentence: str) -> Severity:
    """Return the severity of a danger that a model calls `claimed`.

    A danger is life-threatening only if the user's words say so. Otherwise it is serious.
    """
    if claimed != "life-threatening":
        return claimed
    # The scanner reads as much in the same sentence, of the same danger.
    if _is_scanned_as_deadly(about, sentence):
        return claimed
    # Or the danger is of a kind that can kill, and words of dying, or of the means against it, stand in the sentence.
    if kind in CAN_KILL and _speaks_of_dying(fold(sentence, sentence).text):
        return claimed
    return "serious"


def _is_scanned_as_deadly(about: str, sentence: str) -> bool:
    for constraint in of_subject(scan(sentence), "user"):
        is_about_it = overlap(constraint["about"].casefold(), about.casefold())
        if is_about_it and constraint["severity"] == "life-threatening":
            return True
    return False


def _speaks_of_dying(folded: str) -> bool:
    if not has_mark(folded, "deadly") and not _scripts().deadly.search(folded):
        return False
    # "I am dying to see it" has no word of a danger. The lexicon knows these words for the Latin script only, so a
    # sentence in another script is believed.
    return not _has_latin(folded) or has_mark(folded, "harm")


def is_in(part: str, whole: str, longest: int) -> bool:
    """Say whether `part` is one line of at most `longest` characters of `whole`."""
    part = part.strip()
    if not 0 < len(part) <= longest or "\n" in part:
        return False
    return fold(part, part).text in fold(whole, whole).text


@cache
def _scripts() -> _Scripts:
    table = tomllib.loads(files("mirror_graph.ledger").joinpath("scripts.toml").read_text(encoding="utf-8"))
    first_person = {script: re.compile(_plain(words)) for script, words in table["first_person"].items()}
    return _Scripts(
        latin_first_person=first_person["latin"],
        first_person=list(first_person.values()),
        denied=re.compile(table["denied"]["any"]),
        deadly=re.compile(_plain(table["deadly"]["any"])),
    )


def _plain(pattern: str) -> str:
    """Spell a pattern as folded text is spelled."""
    return "".join(letter if letter.isascii() else fold(letter, letter).text for letter in pattern)


def _has_latin(text: str) -> bool:
    return any("LATIN" in unicodedata.name(letter, "") for letter in text if letter.isalpha())
