"""What in a text touches a constraint: the words, as they stand there, and the relation that they match."""

from typing import NamedTuple

from mirror_graph.ledger.folding import fold
from mirror_graph.relevance.match import ENOUGH, weigh
from mirror_graph.relevance.reading import Reading, wanted_part
from mirror_graph.relevance.relations import Concept, relations
from mirror_graph.relevance.spelling import is_unspaced, split, stem
from mirror_graph.relevance.triggers import Triggers, triggers_of
from mirror_graph.state.values import SafetyConstraint

OWN_WORDS = "own words"
"""The relation of a text that speaks of a constraint in the constraint's own words."""

_EATEN = frozenset({"food", "drink"})


class Touch(NamedTuple):
    """The words that touch a constraint, the relations they match, and whether they speak of something to eat."""

    words: tuple[str, ...]
    relations: tuple[str, ...]
    is_eaten: bool


def touch_of(constraint: SafetyConstraint, text: str, reading: Reading) -> Touch | None:
    """Return what in `text`, read as `reading`, touches the constraint; None if nothing does."""
    return explained(constraint, text) if weigh(constraint, reading) >= ENOUGH else None


def explained(constraint: SafetyConstraint, text: str) -> Touch:
    """Return the words and relations by which `text` may touch the constraint. There may be none."""
    triggers = triggers_of(constraint)
    known = relations()
    spoken = known.without_idioms(split(wanted_part(text)))
    found: dict[str, tuple[str, bool]] = {}
    for phrase, names in known.found(spoken):
        for name in sorted(names):
            relation = _relation(triggers, known.concepts[name])
            if relation:
                found.setdefault(phrase, (relation, not _EATEN.isdisjoint(known.concepts[name].fields)))
    if not found:
        return Touch(_own_words(triggers, text), (OWN_WORDS,), is_eaten=False)
    # A longer phrase says more: "pad thai" rather than "thai".
    phrases = [phrase for phrase in found if not any(phrase in other for other in found if other != phrase)]
    return Touch(
        tuple(dict.fromkeys(verbatim(phrase, text) for phrase in phrases)),
        tuple(sorted({relation for relation, _ in found.values()})),
        is_eaten=all(found[phrase][1] for phrase in phrases),
    )


def is_by_own_words(touch: Touch) -> bool:
    """Say whether a text touches a constraint only because it names it."""
    return touch.relations == (OWN_WORDS,)


def verbatim(phrase: str, text: str) -> str:
    """Return the words of `text` that `phrase` was read from, spelled as they stand there."""
    folded = fold(text, text)
    words = split(phrase)
    if words and is_unspaced(words[0]):
        place = folded.text.find(phrase)
        return folded.verbatim(place, place + len(phrase)) if place >= 0 else phrase
    place = 0
    ends: list[tuple[int, int]] = []
    for word in words:
        start = folded.text.find(word, place)
        if start < 0:
            return phrase
        place = start + len(word)
        ends.append((start, place))
    first, last = ends[0][0], ends[-1][1]
    # The words of a phrase stand next to each other, with no more than a hyphen or an apostrophe between them.
    return folded.verbatim(first, last) if last - first <= len(phrase) + 2 * len(words) else phrase


def _relation(triggers: Triggers, concept: Concept) -> str:
    """Return what a concept brings that touches the constraint, the nearest first; `""` if it brings nothing."""
    brought = concept.brings if concept.met else frozenset[str]()
    for candidates in (triggers.concepts & brought, triggers.concepts & concept.may, triggers.also & brought):
        if candidates:
            return min(candidates)
    return ""


def _own_words(triggers: Triggers, text: str) -> tuple[str, ...]:
    named = [word for word in split(text) if stem(word) in triggers.words]
    named += [term for term in triggers.terms if term in text]
    return tuple(dict.fromkeys(verbatim(word, text) for word in named))[:1]
