"""Whether the user's own words take a constraint back. Enthusiasm, silence and other people's wishes do not."""

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.identity import normalised
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import active


class _Words(NamedTuple):
    ends: re.Pattern[str]
    spares: re.Pattern[str]


def takes_back(quote: str) -> bool:
    """Say whether `quote` plainly ends something: not a question, not for tonight, not what somebody else says."""
    said = fold(quote, quote).text
    words = _words()
    return "?" not in quote and bool(words.ends.search(said)) and not words.spares.search(said)


def taken_back(quote: str, entries: Sequence[SafetyConstraint]) -> SafetyConstraint | None:
    """Return the one active entry of the user's own that `quote` takes back, or None where it names none or several.

    An entry is named by a word of what it is about, or by its kind where no other entry is of that kind.
    """
    if not takes_back(quote):
        return None
    said = set(normalised(quote).split())
    own = [entry for entry in active(list(entries)) if entry["whose"] == "user" and entry["status"] == "active"]
    by_name = [entry for entry in own if _names(entry) & said]
    if by_name:
        return by_name[0] if len(by_name) == 1 else None
    by_kind = [entry for entry in own if any(word.startswith(_STEMS.get(entry["kind"], "\n")) for word in said)]
    return by_kind[0] if len(by_kind) == 1 else None


_STEMS = {"allergy": "allerg", "intolerance": "intoler", "phobia": "phobi", "trauma": "trauma", "dietary": "veg"}
_COMMON = frozenset("of the and or a an in to with from being my all any every severe".split())


def _names(entry: SafetyConstraint) -> set[str]:
    return {word for word in normalised(entry["about"]).split() if len(word) > 2} - _COMMON


@cache
def _words() -> _Words:
    languages = tomllib.loads(files("mirror_graph.ledger").joinpath("retractions.toml").read_text(encoding="utf-8"))
    ends, spares = ("|".join(it for words in languages.values() for it in words[key]) for key in ("ends", "spares"))
    return _Words(re.compile(rf"(?<!\w)(?:{ends})"), re.compile(rf"(?<!\w)(?:{spares})(?!\w)"))
