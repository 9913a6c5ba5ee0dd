"""Whether the user's own words retract a constraint. Enthusiasm, silence and other people's wishes do not."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any, Literal, NamedTuple

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.gates import Gates, words_of
from mirror_graph.ledger.identity import normalised
from mirror_graph.ledger.lexicon import Pattern, Words, has_mark
from mirror_graph.ledger.own_words import own_words
from mirror_graph.ledger.quotes import SENTENCE
from mirror_graph.ledger.scan import scan
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import active, ids_of, of_subject

LONGEST = 300
"""Characters of a sentence that may take something back: a plain one is short."""


Way = Literal["over", "proven", "bearable"]


class _Language(NamedTuple):
    """One language's plain ways of saying that something is over; no sentence without its `hint` says so.

    `proven` are those of `over` that end with a proof: "I give blood now". `bearable` say that something can be borne
    again. Only a constraint that cannot kill is taken back in either way.
    """

    hint: re.Pattern[str]
    over: list[Pattern]
    proven: list[Pattern]
    bearable: list[Pattern]
    gates: Gates[Pattern]

    def ways(self) -> Iterator[tuple[Way, Pattern]]:
        """Yield every pattern, the plainest way first."""
        for pattern in self.over:
            yield "over", pattern
        for pattern in self.proven:
            yield "proven", pattern
        for pattern in self.bearable:
            yield "bearable", pattern


class _Statement(NamedTuple):
    """What one reading of a sentence says is over.

    `is_bare` says that it names a condition and nothing else: "my allergy is gone". `way` is the pattern that it fits.
    """

    object: str | None
    is_bare: bool
    way: Way


class _Grammar(NamedTuple):
    languages: list[_Language]
    overcome: re.Pattern[str]
    conditions: dict[str, re.Pattern[str]]
    generic: frozenset[str]
    on_screen: frozenset[str]
    unspaced: re.Pattern[str]
    before: re.Pattern[str]
    after: re.Pattern[str]


def denied(constraints: Sequence[SafetyConstraint], message: str) -> list[str]:
    """Return the ids of the constraints that a user's message plainly denies, without a model.

    "I am not allergic to peanuts." denies an active allergy of the user's own to peanuts. A message that states the
    same danger after denying it denies nothing.
    """
    # Only the person whom a constraint concerns can deny it.
    own = of_subject(active(list(constraints)), "user")
    if not own:
        return []
    denied_constraints: dict[str, SafetyConstraint] = {}
    for sentence in plain_denials(message):
        for constraint in _retracted_by(sentence, own):
            denied_constraints[constraint["id"]] = constraint
    if not denied_constraints:
        return []
    # "I was not allergic to nuts, and now I am." The message is in doubt, so the danger holds.
    stated = ids_of(scan(message))
    return [identity for identity in denied_constraints if identity not in stated]


def plain_denials(message: str) -> list[str]:
    """Return the sentences of the user's own in `message` that say that something is over, and mean it.

    What the same message imagines, quotes or calls a joke is not meant.
    """
    folded = fold(own_words(message), message)
    if not _has_hint(folded.text):
        return []
    denials: list[str] = []
    previous: re.Match[str] | None = None
    for found in SENTENCE.finditer(folded.text):
        before = folded.text[previous.start() : found.start()] if previous else ""
        previous = found
        # "Imagine this. I am no longer allergic." and "I am no longer allergic. Just kidding." are not meant.
        if _grammar().before.search(before) or _grammar().after.match(folded.text, found.end()):
            continue
        sentence = folded.verbatim(*found.span())
        if is_retraction(sentence):
            denials.append(sentence)
    return denials


def _has_hint(text: str) -> bool:
    """Say whether a text has a word without which no sentence takes anything back. Most messages end here."""
    return any(language.hint.search(text) for language in _grammar().languages)


def is_retraction(sentence: str) -> bool:
    """Say whether `sentence` is a plain statement of the user's that something is over.

    Only whole sentences that are listed are: not a question, not for tonight, not what somebody else says, not a wish
    and not a game; and none with words of dying in it.
    """
    if next(_statements(sentence), None) is None:
        return False
    # "My allergy is over, it nearly killed me": with words of dying in it, a sentence is too grave to be taken plainly.
    return not has_mark(_folded(sentence), "deadly")


def find_retracted(sentence: str, constraints: Sequence[SafetyConstraint]) -> SafetyConstraint | None:
    """Return the one active constraint of the user's own that `sentence` takes back, or None for none or several.

    The sentence must speak of what the constraint is, an allergy or a fear: who is "no longer afraid of dogs" may
    still be allergic to them, and who has "no peanuts at home any more" is allergic to them. What is over must be
    the constraint and nothing else, or its kind alone if no other constraint is of that kind.
    """
    if not is_retraction(sentence):
        return None
    # What the scanner caught and no pass has confirmed is not in the ledger, so nothing of it can be taken back.
    own = [constraint for constraint in of_subject(constraints, "user") if constraint["status"] == "active"]
    found = _retracted_by(sentence, active(own))
    # Between several the words do not decide. Losing none of them is the safe reading.
    return found[0] if len(found) == 1 else None


def _retracted_by(sentence: str, constraints: Sequence[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return those that one reading of `sentence` says are over, or the only one of the kind that it names."""
    folded = _folded(sentence)
    for statement in _statements(sentence):
        possible = _possibly_meant(statement, folded, constraints)
        # What can be borne again is a fear or a boundary, whatever its words are.
        if statement.way == "bearable":
            if possible:
                return possible
            continue
        # "I am no longer allergic to peanuts" names what is over.
        if statement.object is not None:
            named = _named(statement.object, possible)
            if named:
                return named
        # "My allergy is gone" names none: it is clear only if the user has one allergy.
        if statement.is_bare:
            of_kind = [constraint for constraint in possible if _condition(constraint["kind"])]
            return of_kind if len(of_kind) == 1 else []
    return []


def _possibly_meant(
    statement: _Statement, folded: str, constraints: Sequence[SafetyConstraint]
) -> list[SafetyConstraint]:
    """Return the constraints that a statement can be about, by what they are."""
    if statement.way == "bearable":
        return [constraint for constraint in constraints if _is_borne(statement.object or "", constraint)]
    conditions = _conditions(statement.object, folded)
    possible: list[SafetyConstraint] = []
    for constraint in constraints:
        # Words that follow the statement may mean anything, so they are believed only if nothing can kill.
        if statement.way == "proven" and not _can_be_borne(constraint):
            continue
        # "No longer afraid of dogs" speaks of a fear, and an allergy to dogs stays.
        if _condition(constraint["kind"]) in conditions:
            possible.append(constraint)
    return possible


def warm_up() -> None:
    """Compile the patterns of every language. Otherwise the first message with a word such as "over" waits for them."""
    for language in _grammar().languages:
        language.gates.admitted([])
        for _, pattern in language.ways():
            pattern.match("")


def _statements(sentence: str) -> Iterator[_Statement]:
    """Yield the plain readings of `sentence` as a statement that something is over."""
    folded = _folded(sentence)
    # A question takes nothing back. A long sentence says more than that something is over.
    if "?" in folded or "\uff1f" in folded or len(folded) > LONGEST:
        return
    for language in _grammar().languages:
        if not language.hint.search(folded):
            continue
        admitted = language.gates.admitted(words_of(folded))
        for way, pattern in language.ways():
            match = pattern.match(folded) if pattern in admitted else None
            if match:
                yield _statement(match, way)


def _statement(match: re.Match[str], way: Way) -> _Statement:
    groups = match.groupdict()
    about = groups.get("about") or groups.get("itself")
    named = groups.get("object")
    return _Statement(named or about, about is None and (named is None or _is_generic(named)), way)


_BORNE = frozenset({"phobia", "trauma", "boundary"})
_LIKE: dict[str, str] = {"intolerance": "allergy"}


def _named(object_: str, constraints: Sequence[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return those of `constraints` that `object_` names, as a whole or as the parts of a list.

    A part that names none of them may only be one word, another name: "peanuts or cashews". More words may say
    anything: "peanuts or so they claim".
    """
    whole = _named_exactly(object_, constraints)
    if whole:
        return whole
    named: list[SafetyConstraint] = []
    for part in _LIST.split(object_):
        found = _named_exactly(part, constraints)
        if not found and len(part.split()) > 1:
            return []
        named += found
    return named


def _named_exactly(words: str, constraints: Sequence[SafetyConstraint]) -> list[SafetyConstraint]:
    return [constraint for constraint in constraints if _is_all_of(words, constraint)]


def _is_all_of(object_: str, constraint: SafetyConstraint) -> bool:
    """Say whether `object_` names `constraint` and nothing else: "peanut allergy", not "peanut allergy pen"."""
    words = set(normalised(object_).split()) - _grammar().generic
    names = set(normalised(constraint["about"]).split()) - _grammar().generic
    if words and words <= names:
        return True
    about = _grammar().unspaced.sub("", normalised(constraint["about"]))
    if not about:
        return False
    if object_.isascii():
        # A compound holds both: "Nussallergie" names the allergy to "Nuss".
        return len(words) == 1 and not words.isdisjoint(_compounds(about))
    # A script without spaces has no words to compare, so the whole name must be the same.
    return _grammar().unspaced.sub("", normalised(object_)) == about


def _is_borne(object_: str, constraint: SafetyConstraint) -> bool:
    """Say whether `object_` names a constraint that can be borne again: "films where a dog dies"."""
    if not _can_be_borne(constraint):
        return False
    on_screen = _grammar().generic | _grammar().on_screen
    words = set(map(_fear, normalised(object_).split())) - on_screen
    names = set(map(_fear, normalised(constraint["about"]).split())) - on_screen
    return bool(words) and words <= names


def _can_be_borne(constraint: SafetyConstraint) -> bool:
    """Say whether a constraint is one of the mind, and cannot kill. "Peanuts are fine now" takes back nothing."""
    return constraint["kind"] in _BORNE and constraint["severity"] != "life-threatening"


def _fear(word: str) -> str:
    """Return one word for a fear and who has it: "claustrophobia" and "claustrophobic"."""
    beginning, phobia, _ = word.partition("phob")
    return f"{beginning}{phobia}" if beginning and phobia else word


def _compounds(about: str) -> list[str]:
    """Return the German compounds that name a condition by what it is about."""
    joined = about.replace(" ", "")
    links = ("", "n", "s", "en")
    endings = ("allergie", "intoleranz", "unvertraglichkeit", "phobie", "angst")
    return [joined + link + ending for link, ending in product(links, endings)]


def _is_generic(object_: str) -> bool:
    """Say whether `object_` speaks of a condition and names nothing: "my allergy"."""
    return not set(normalised(object_).split()) - _grammar().generic


def _condition(kind: str) -> str:
    """Return the condition by whose words a kind is spoken of, or "" for a kind without words of its own."""
    name = _LIKE.get(kind, kind)
    return name if name in _grammar().conditions else ""


def _conditions(object_: str | None, folded: str) -> set[str]:
    """Return the conditions a sentence may take back: those it names, or all if it only says that one is overcome."""
    # "Not afraid of my allergy" speaks of a fear: what the name itself holds counts only if nothing else does.
    outside = folded.replace(object_, " ") if object_ else folded
    named = _conditions_named(outside) or _conditions_named(folded)
    # "I am over peanuts" says nothing of what the peanuts were to the user, so it may be any condition.
    if not named and _grammar().overcome.search(folded):
        named = set(_grammar().conditions)
    # A kind without words of its own, such as a boundary, is never spoken of by name, and so it is never left out.
    return named | {""}


def _conditions_named(text: str) -> set[str]:
    return {name for name, words in _grammar().conditions.items() if words.search(text)}


def _folded(sentence: str) -> str:
    return fold(sentence, sentence).text.strip()


_JOINS = "and|or|nor|und|oder|noch|y|e|o|u|ni|et|ou|nem|ed|od|ne"
_NAME = r"[\w'-]+(?: [\w'-]+){0,5}?"
_OBJECT = rf"{_NAME}(?:(?:, {_NAME}){{0,4}},? (?:{_JOINS}) [\w'-]+(?: [\w'-]+){{0,2}})?"
_LIST = re.compile(rf",? (?:{_JOINS}) |, |\u3001|\u548c|\u3068")
_BETWEEN = r"[\s,:;!.\u3001\uff0c\u3002()-]"


@cache
def _grammar() -> _Grammar:
    read = tomllib.loads(files("mirror_graph.ledger").joinpath("retractions.toml").read_text(encoding="utf-8"))
    conditions, generic, unmeant = read.pop("conditions"), read.pop("generic"), read.pop("unmeant")
    overcome = _either(conditions.pop("any"))
    return _Grammar(
        languages=[*map(_compile_language, read.values())],
        overcome=overcome,
        conditions={name: _either(words) for name, words in conditions.items()},
        generic=frozenset(map(normalised, generic["words"].split())),
        on_screen=frozenset(map(normalised, generic["on_screen"].split())),
        unspaced=re.compile(generic["unspaced"]),
        before=re.compile(unmeant["before"]),
        after=re.compile(unmeant["after"]),
    )


def _compile_language(table: dict[str, Any]) -> _Language:
    alternatives = {name: f"(?:{text})" for name, text in table["words"].items()}
    alternatives |= {"object": f"(?P<object>{_OBJECT})", "about": f"(?P<about>{_OBJECT})"}
    alternatives["lead"] = f"(?:(?:{'|'.join(table['lead'])}){_BETWEEN}+){{0,4}}"
    alternatives["tail"] = f"(?:{_BETWEEN}{{0,3}}(?:and |so |und |y |et |e )?(?:{'|'.join(table['tail'])})){{0,4}}"
    evidence = "|".join(table.get("evidence", ()))
    alternatives["longer_tail"] = f"{{tail}}(?:{_BETWEEN}{{1,3}}(?:{evidence}))?{{tail}}" if evidence else "{tail}"
    words = Words(alternatives)

    def patterns(sources: Iterable[str], end: str) -> list[Pattern]:
        return [Pattern(rf"{{lead}}(?:{source}){end}{_BETWEEN}*\Z", words) for source in sources]

    over = patterns(table["over"], "{tail}")
    proven = patterns(table["over"], "{longer_tail}") if evidence else []
    bearable = patterns(table.get("bearable", ()), "{longer_tail}")
    gates = Gates([*over, *proven, *bearable])
    return _Language(re.compile(table["hint"]), over, proven, bearable, gates)


def _either(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{words})")
