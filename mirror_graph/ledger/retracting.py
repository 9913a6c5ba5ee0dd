"""Whether the user's own words take a constraint back. Enthusiasm, silence and other people's wishes do not."""

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.identity import normalised
from mirror_graph.ledger.lexicon import lexicon
from mirror_graph.ledger.scan import scan
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import active


class _Language(NamedTuple):
    plain: re.Pattern[str]
    unmeant: re.Pattern[str]


class _Grammar(NamedTuple):
    languages: list[_Language]
    overcome: re.Pattern[str]
    conditions: dict[str, re.Pattern[str]]
    bare: dict[str, re.Pattern[str]]


def takes_back(sentence: str) -> bool:
    """Say whether `sentence` is a plain statement of the user's that something is over.

    Only statements that are listed, from their first word on, are: not a question, not for tonight, not what
    somebody else says, not a wish and not a game; and none that states a danger as well.
    """
    said = _folded(sentence)
    if "?" in sentence or not any(it.plain.match(said) and not it.unmeant.search(said) for it in _grammar().languages):
        return False
    return not any(language.deadly.search(said) for language in lexicon().languages) and not scan(sentence)


def taken_back(sentence: str, entries: Sequence[SafetyConstraint]) -> SafetyConstraint | None:
    """Return the one active entry of the user's own that `sentence` takes back, or None where it names none or several.

    The sentence must speak of what the entry is, an allergy or a fear: who is "no longer afraid of dogs" may
    still be allergic to them, and who has "no peanuts at home any more" is allergic to them. An entry is named
    by a word of what it is about, or by its kind alone where no other entry is of that kind.
    """
    if not takes_back(sentence):
        return None
    said, words = _folded(sentence), set(normalised(sentence).split())
    own = [entry for entry in active(list(entries)) if entry["whose"] == "user" and entry["status"] == "active"]
    conditions = _conditions(said)
    spoken_of = [entry for entry in own if _condition(entry["kind"]) in conditions]
    by_name = [entry for entry in spoken_of if _names(entry) & words]
    if by_name:
        return by_name[0] if len(by_name) == 1 else None
    by_kind = [entry for entry in spoken_of if _is_bare(_condition(entry["kind"]), said)]
    return by_kind[0] if len(by_kind) == 1 else None


_COMMON = frozenset("of the and or a an in to with from being my all any every severe allergy phobia fear".split())
_LIKE: dict[str, str] = {"intolerance": "allergy"}


def _names(entry: SafetyConstraint) -> set[str]:
    return {word for word in normalised(entry["about"]).split() if len(word) > 2} - _COMMON


def _condition(kind: str) -> str:
    """Return the condition by whose words a kind is spoken of, or "" for a kind without words of its own."""
    name = _LIKE.get(kind, kind)
    return name if name in _grammar().conditions else ""


def _conditions(said: str) -> set[str]:
    """Return the conditions a sentence may take back: those it names, or all where it only says one is overcome."""
    named = {name for name, words in _grammar().conditions.items() if words.search(said)}
    if not named and _grammar().overcome.search(said):
        named = set(_grammar().conditions)
    return named | {""}


def _is_bare(condition: str, said: str) -> bool:
    """Say whether a sentence names a condition and not what it is about."""
    return bool(condition) and bool(_grammar().bare[condition].search(said))


def _folded(sentence: str) -> str:
    return fold(sentence, sentence).text.strip()


@cache
def _grammar() -> _Grammar:
    read = tomllib.loads(files("mirror_graph.ledger").joinpath("retractions.toml").read_text(encoding="utf-8"))
    conditions = read.pop("conditions")
    overcome, bare = _spoken(conditions.pop("any")), conditions.pop("bare")
    return _Grammar(
        languages=[
            _Language(
                re.compile(rf"(?:{it['lead']}[,:;!. -]+)*(?:{'|'.join(it['plain'])})"),
                re.compile(rf"(?<!\w)(?:{'|'.join(it['unmeant'])})(?!\w)"),
            )
            for it in read.values()
        ],
        overcome=overcome,
        conditions={name: _spoken(words) for name, words in conditions.items()},
        bare={name: re.compile(bare.replace("{condition}", words)) for name, words in conditions.items()},
    )


def _spoken(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)\w*(?:{words})")
