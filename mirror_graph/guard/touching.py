"""What in a text touches a constraint: the relation that it matches, and the words as they stand there."""

from typing import NamedTuple

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.words import is_unspaced, split, stem
from mirror_graph.relevance.exposure import can_touch
from mirror_graph.relevance.match import THRESHOLD, weigh
from mirror_graph.relevance.reading import Reading, wanted_part
from mirror_graph.relevance.relations import relations
from mirror_graph.relevance.triggers import Triggers, triggers_of
from mirror_graph.state.values import SafetyConstraint

OWN_WORDS = "own words"
"""The relation of a text that speaks of a constraint in the constraint's own words."""

_EATEN = frozenset({"food", "drink"})


class Touch(NamedTuple):
    """A text that touches a constraint, the relations it matches, and what `weigh` counted for it."""

    text: str
    relations: frozenset[str]
    evidence: float


class Explanation(NamedTuple):
    """The words that touch a constraint, as they stand in the text.

    `is_eaten` says whether they speak of something to eat, and `is_own` whether they are the constraint's own words.
    """

    words: tuple[str, ...]
    is_eaten: bool = False
    is_own: bool = False


class _Phrases(NamedTuple):
    """The phrases of a text that match relations, each with whether it speaks of something to eat."""

    certain: dict[str, bool]
    own: dict[str, bool]
    possible: dict[str, bool]


def touch_of(constraint: SafetyConstraint, text: str, reading: Reading) -> Touch | None:
    """Return how `text`, read as `reading`, touches the constraint; None if it does not."""
    evidence = weigh(constraint, reading)
    return touch_by(constraint, text, reading, evidence) if evidence >= THRESHOLD else None


def touch_by(constraint: SafetyConstraint, text: str, reading: Reading, evidence: float) -> Touch:
    """Return the relations by which a text may touch the constraint, the strongest kind of them only."""
    triggers = triggers_of(constraint)
    met = reading.concepts
    if can_touch(constraint["kind"], "shown", triggered_by_sight=triggers.by_sight):
        met |= reading.shown
    for matched in (triggers.concepts & met, triggers.also & met, triggers.concepts & reading.possible):
        if matched:
            return Touch(text, matched, evidence)
    return Touch(text, frozenset({OWN_WORDS}), evidence)


def is_by_name(constraint: SafetyConstraint, touch: Touch) -> bool:
    """Say whether a text touches a constraint only because it names what that is about."""
    if touch.relations == {OWN_WORDS}:
        return True
    phrases = _phrases(triggers_of(constraint), touch.text, touch.relations)
    return bool(phrases.own) and not phrases.certain


def explained(constraint: SafetyConstraint, touch: Touch) -> Explanation:
    """Return the words by which a text touches the constraint, those that are certain first. There may be none."""
    triggers = triggers_of(constraint)
    found = _phrases(triggers, touch.text, touch.relations)
    for phrases in found:
        if phrases:
            # A longer phrase says more: "pad thai" rather than "thai".
            longest = [phrase for phrase in phrases if not any(phrase in other for other in phrases if other != phrase)]
            words = dict.fromkeys(verbatim(_without_common_end(phrase), touch.text) for phrase in longest)
            is_eaten = all(phrases[phrase] for phrase in longest)
            return Explanation(tuple(words), is_eaten, is_own=phrases is found.own)
    named = own_words(triggers, touch.text)
    return Explanation(named, is_own=bool(named))


def _phrases(triggers: Triggers, text: str, wanted: frozenset[str]) -> _Phrases:
    found = _Phrases({}, {}, {})
    known = relations()
    for phrase, names in known.found(known.without_idioms(split(wanted_part(text)))):
        concepts = [known.concepts[name] for name in names]
        is_eaten = any(not _EATEN.isdisjoint(concept.fields) for concept in concepts)
        is_certain = any(concept.met and concept.brings & wanted for concept in concepts)
        if not is_certain and not any(concept.may & wanted for concept in concepts):
            continue
        if _is_own(phrase, triggers):
            found.own[phrase] = is_eaten
        elif is_certain:
            found.certain[phrase] = is_eaten
        else:
            found.possible[phrase] = is_eaten
    return found


def _without_common_end(phrase: str) -> str:
    """Return a phrase without words at its end that say nothing on their own: "carry" for "carry the"."""
    words = phrase.split()
    while len(words) > 1 and words[-1] in relations().common:
        words.pop()
    return " ".join(words)


def verbatim(phrase: str, text: str) -> str:
    """Return the words of `text` that `phrase` was read from, spelled as they stand there."""
    folded = fold(text, text)
    words = split(phrase)
    if not words or is_unspaced(words[0]):
        start = folded.text.find(phrase)
        return folded.verbatim(start, start + len(phrase)) if start >= 0 else phrase
    place = 0
    starts: list[int] = []
    for word in words:
        start = folded.text.find(word, place)
        if start < 0:
            return phrase
        starts.append(start)
        place = start + len(word)
    # The words of a phrase stand next to each other, with no more than a hyphen or an apostrophe between them.
    is_whole = place - starts[0] <= len(phrase) + 2 * len(words)
    return folded.verbatim(starts[0], place) if is_whole else phrase


def _is_own(phrase: str, triggers: Triggers) -> bool:
    return phrase in triggers.terms or all(stem(word) in triggers.words for word in split(phrase))


def own_words(triggers: Triggers, text: str) -> tuple[str, ...]:
    """Return the first of a constraint's own words in a text, as it stands there; nothing if there is none."""
    named = [word for word in split(text) if stem(word) in triggers.words]
    named += [term for term in triggers.terms if term in text]
    return tuple(verbatim(word, text) for word in named[:1])
