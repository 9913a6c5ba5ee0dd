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


class _Grammar(NamedTuple):
    plain: re.Pattern[str]
    unmeant: re.Pattern[str]


def takes_back(sentence: str) -> bool:
    """Say whether `sentence` is a plain statement of the user's that something is over.

    Only statements that are listed, from their first word on, are: not a question, not for tonight, not what
    somebody else says, not a wish and not a game.
    """
    said = fold(sentence, sentence).text.strip()
    return "?" not in sentence and any(it.plain.match(said) and not it.unmeant.search(said) for it in _grammars())


def taken_back(sentence: str, entries: Sequence[SafetyConstraint]) -> SafetyConstraint | None:
    """Return the one active entry of the user's own that `sentence` takes back, or None where it names none or several.

    An entry is named by a word of what it is about, or by its kind where no other entry is of that kind.
    """
    if not takes_back(sentence):
        return None
    said = set(normalised(sentence).split())
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
def _grammars() -> list[_Grammar]:
    languages = tomllib.loads(files("mirror_graph.ledger").joinpath("retractions.toml").read_text(encoding="utf-8"))
    return [
        _Grammar(
            re.compile(rf"(?:{it['lead']}[,:;!. -]+)*(?:{'|'.join(it['plain'])})"),
            re.compile(rf"(?<!\w)(?:{'|'.join(it['unmeant'])})(?!\w)"),
        )
        for it in languages.values()
    ]
