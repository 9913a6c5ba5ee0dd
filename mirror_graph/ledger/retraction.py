"""Whether the user's own words retract a constraint. Enthusiasm, silence and other people's wishes do not."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from mirror_graph.ledger.folding import fold
from mirror_graph.ledger.identity import normalised
from mirror_graph.ledger.lexicon import Pattern, lexicon
from mirror_graph.ledger.own_words import own_words
from mirror_graph.ledger.quotes import SENTENCE
from mirror_graph.ledger.scan import scan
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import active

LONGEST = 300
"""Characters of a sentence that may take something back: a plain one is short."""


class _Language(NamedTuple):
    """One language's plain ways of saying that something is over; no sentence without its `hint` says so."""

    hint: re.Pattern[str]
    over: list[Pattern]


class _Grammar(NamedTuple):
    languages: list[_Language]
    overcome: re.Pattern[str]
    conditions: dict[str, re.Pattern[str]]
    generic: frozenset[str]
    unspaced: re.Pattern[str]
    before: re.Pattern[str]
    after: re.Pattern[str]


def denied(constraints: Sequence[SafetyConstraint], message: str) -> list[str]:
    """Return the ids of the constraints that a user's message plainly denies, without a model.

    "I am not allergic to peanuts." denies an active allergy of the user's own to peanuts. A message that states the
    same danger after denying it denies nothing.
    """
    ids: list[str] = []
    own = [constraint for constraint in active(list(constraints)) if constraint["subject"] == "user"]
    for sentence in plain_denials(message):
        ids += [constraint["id"] for constraint in _retracted_by(sentence, own) if constraint["id"] not in ids]
    if not ids:
        return []
    stated = {constraint["id"] for constraint in scan(message)}
    return [constraint_id for constraint_id in ids if constraint_id not in stated]


def plain_denials(message: str) -> list[str]:
    """Return the sentences of the user's own in `message` that say that something is over, and mean it.

    What the same message imagines, quotes or calls a joke is not meant.
    """
    spoken = fold(own_words(message), message)
    if not any(language.hint.search(spoken.text) for language in _grammar().languages):
        return []
    sentences = [(found.start(), found.end()) for found in SENTENCE.finditer(spoken.text)]
    denials: list[str] = []
    for number, (start, end) in enumerate(sentences):
        sentence = spoken.verbatim(start, end)
        previous = spoken.text[sentences[number - 1][0] : start] if number else ""
        if _grammar().before.search(previous) or _grammar().after.match(spoken.text, end):
            continue
        if is_retraction(sentence):
            denials.append(sentence)
    return denials


def is_retraction(sentence: str) -> bool:
    """Say whether `sentence` is a plain statement of the user's that something is over.

    Only whole sentences that are listed are: not a question, not for tonight, not what somebody else says, not a wish
    and not a game; and none with words of dying in it.
    """
    if not any(True for _ in _statements(sentence)):
        return False
    folded = _folded(sentence)
    return not any(language.deadly.search(folded) for language in lexicon().languages)


def find_retracted(sentence: str, constraints: Sequence[SafetyConstraint]) -> SafetyConstraint | None:
    """Return the one active constraint of the user's own that `sentence` takes back, or None for none or several.

    The sentence must speak of what the constraint is, an allergy or a fear: who is "no longer afraid of dogs" may
    still be allergic to them, and who has "no peanuts at home any more" is allergic to them. What is over must be
    the constraint and nothing else, or its kind alone where no other constraint is of that kind.
    """
    if not is_retraction(sentence):
        return None
    own = [
        constraint
        for constraint in active(list(constraints))
        if constraint["subject"] == "user" and constraint["status"] == "active"
    ]
    found = _retracted_by(sentence, own)
    return found[0] if len(found) == 1 else None


def _retracted_by(sentence: str, constraints: Sequence[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return those that one reading of `sentence` says are over, or the only one of the kind that it names."""
    folded = _folded(sentence)
    for object_, bare in _statements(sentence):
        # "Not afraid of my allergy" speaks of a fear: what the name itself holds counts only where nothing else does.
        outside = folded.replace(object_, " ") if object_ else folded
        conditions = _conditions(outside, folded)
        spoken_of = [constraint for constraint in constraints if _condition(constraint["kind"]) in conditions]
        if object_ is not None:
            named = _named(object_, spoken_of)
            if named:
                return named
        if bare:
            of_kind = [constraint for constraint in spoken_of if _condition(constraint["kind"])]
            return of_kind if len(of_kind) == 1 else []
    return []


def warm_up() -> None:
    """Compile the patterns of every language. Otherwise the first message with a word such as "over" waits for them."""
    for language in _grammar().languages:
        for pattern in language.over:
            pattern.match("")


def _statements(sentence: str) -> Iterator[tuple[str | None, bool]]:
    """Yield what each plain reading of `sentence` says is over, and whether it is a condition without a name.

    "My allergy is gone" is one. "I have no severe allergy" is none: it may speak of any.
    """
    folded = _folded(sentence)
    if "?" in folded or "\uff1f" in folded or len(folded) > LONGEST:
        return
    for language in _grammar().languages:
        if not language.hint.search(folded):
            continue
        for pattern in language.over:
            match = pattern.match(folded)
            if match:
                groups = match.groupdict()
                about = groups.get("about") or groups.get("itself")
                object_ = groups.get("object")
                yield object_ or about, about is None and (object_ is None or _is_generic(object_))


_LIKE: dict[str, str] = {"intolerance": "allergy"}


def _named(object_: str, constraints: Sequence[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return those of `constraints` that `object_` names, as a whole or as the parts of a list.

    A part that names none of them may only be one word, another name: "peanuts or cashews". More words may say
    anything: "peanuts or so they claim".
    """
    whole = [constraint for constraint in constraints if _is_all_of(object_, constraint)]
    if whole:
        return whole
    named: list[SafetyConstraint] = []
    for part in _LIST.split(object_):
        found = [constraint for constraint in constraints if _is_all_of(part, constraint)]
        if not found and len(part.split()) > 1:
            return []
        named += found
    return named


def _is_all_of(object_: str, constraint: SafetyConstraint) -> bool:
    """Say whether `object_` names `constraint` and nothing else: "peanut allergy", not "peanut allergy pen"."""
    words = set(normalised(object_).split()) - _grammar().generic
    names = set(normalised(constraint["about"]).split()) - _grammar().generic
    if words and words <= names:
        return True
    about = _grammar().unspaced.sub("", normalised(constraint["about"]))
    if object_.isascii():
        # A compound holds both: "Nussallergie" names the allergy to "Nuss".
        return len(words) == 1 and bool(about) and any(word in _compounds(about) for word in words)
    return bool(about) and _grammar().unspaced.sub("", normalised(object_)) == about


def _compounds(about: str) -> set[str]:
    joined = about.replace(" ", "")
    endings = ("allergie", "intoleranz", "unvertraglichkeit", "phobie", "angst")
    return {joined + link + ending for link in ("", "n", "s", "en") for ending in endings}


def _is_generic(object_: str) -> bool:
    """Say whether `object_` speaks of a condition and names nothing: "my allergy"."""
    return not set(normalised(object_).split()) - _grammar().generic


def _condition(kind: str) -> str:
    """Return the condition by whose words a kind is spoken of, or "" for a kind without words of its own."""
    name = _LIKE.get(kind, kind)
    return name if name in _grammar().conditions else ""


def _conditions(outside: str, folded: str) -> set[str]:
    """Return the conditions a sentence may take back: those it names, or all where it only says one is overcome.

    `outside` is what it says without the name of what is over.
    """
    named: set[str] = set()
    for text in (outside, folded):
        named = named or {name for name, words in _grammar().conditions.items() if words.search(text)}
    if not named and _grammar().overcome.search(folded):
        named = set(_grammar().conditions)
    return named | {""}


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
        languages=[_compile_language(table) for table in read.values()],
        overcome=overcome,
        conditions={name: _either(words) for name, words in conditions.items()},
        generic=frozenset(normalised(word) for word in generic["words"].split()),
        unspaced=re.compile(generic["unspaced"]),
        before=re.compile(unmeant["before"]),
        after=re.compile(unmeant["after"]),
    )


def _compile_language(table: dict[str, Any]) -> _Language:
    words = {name: f"(?:{text})" for name, text in table["words"].items()}
    words |= {"object": f"(?P<object>{_OBJECT})", "about": f"(?P<about>{_OBJECT})"}
    lead = f"(?:(?:{'|'.join(table['lead'])}){_BETWEEN}+){{0,4}}"
    tail = f"(?:{_BETWEEN}{{0,3}}(?:and |so |und |y |et |e )?(?:{'|'.join(table['tail'])})){{0,4}}"
    over: list[Pattern] = []
    for source in table["over"]:
        filled = re.sub(r"\{([a-z_]+)\}", lambda name: words[name[1]], source)
        over.append(Pattern(rf"{lead}(?:{filled}){tail}{_BETWEEN}*\Z"))
    return _Language(re.compile(table["hint"]), over)


def _either(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{words})")
