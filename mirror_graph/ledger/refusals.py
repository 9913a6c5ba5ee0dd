"""What a user says that they will not, or cannot, be shown: "I can't watch films where an animal dies"."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any, NamedTuple

from mirror_graph.ledger.depictions import CLAUSE_END, Named, load_depictions, sensitivities_in, sensitivities_named
from mirror_graph.ledger.gates import Gates, words_of
from mirror_graph.ledger.lexicon import Pattern, Rule, Words

ABOUT_WORDS = 12
"""Words of the longest stretch that one constraint is about."""

_OPENINGS = 8
"""How often one pattern is tried in a sentence."""

_MARKS = (
    "hint",
    "other_person",
    "reported",
    "request",
    "wanted",
    "calm",
    "screen",
    "scene",
    "medium",
    "verb",
    "relative",
    "compound",
    "pointing",
)

_FIRST_PERSON = re.compile(r"\b(?:i|me)\b")

_TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[,()]")

Span = tuple[int, int]


class Refusal(NamedTuple):
    """A rule that fits a sentence, the spans of what is refused, and the span of the whole refusal."""

    rule: Rule
    things: list[Span]
    span: Span


class _Frame(NamedTuple):
    """A way to refuse; one `on_screen` counts only in a sentence that speaks of a screen or a page.

    One that counts `anywhere` refuses all that its sentence names, in front of it too.
    """

    rule: Rule
    on_screen: bool
    anywhere: bool


class _Grammar(NamedTuple):
    """The patterns of `refusals.toml`, which says what each is for."""

    hint: Pattern
    other_person: Pattern
    reported: Pattern
    request: Pattern
    wanted: Pattern
    calm: Pattern
    screen: Pattern
    scene: Pattern
    medium: Pattern
    verb: Pattern
    relative: Pattern
    compound: Pattern
    pointing: Pattern
    frames: list[_Frame]
    gates: Gates[Pattern]


def refusals_in(sentence: str, known: str = "") -> Iterator[Refusal]:
    """Yield what the folded text of one sentence refuses to be shown.

    Only what `depictions.toml` names as a sensitivity is found. What `known` names already is left out.
    """
    grammar = _grammar()
    admitted = grammar.gates.admitted(words_of(sentence))
    frames = [frame for frame in grammar.frames if frame.rule.pattern in admitted]
    if not frames or not grammar.hint.search(sentence) or grammar.calm.search(sentence):
        return
    # "Is there no blood in it?" refuses nothing. "Can we skip anything with blood?" does.
    if "?" in sentence and not grammar.request.search(sentence):
        return
    found = set(sensitivities_named(known))
    for frame in frames:
        # "I can't stand blood" may be a phobia. Only next to a film or a book is it about what is shown.
        if frame.on_screen and not grammar.screen.search(sentence):
            continue
        for opening in islice(frame.rule.pattern.finditer(sentence), _OPENINGS):
            things = _things_refused(sentence, frame, opening, found)
            if things:
                yield Refusal(frame.rule, things, (opening.start(), _end_of_refusal(sentence, opening, things)))


def _things_refused(sentence: str, frame: _Frame, opening: re.Match[str], found: set[str]) -> list[Span]:
    """Return the spans of what the user refuses with this opening of a frame, and add what they name to `found`."""
    if not frame.anywhere:
        return _things(sentence, _refused(sentence, opening), found) if _is_users_own(sentence, opening) else []
    # Another frame has found what it could: the rest of the sentence may be about something else.
    if found or not _is_of_the_user(sentence):
        return []
    return _things(sentence, _whole(sentence), found, is_scene=True)


def _is_users_own(sentence: str, opening: re.Match[str]) -> bool:
    """Say whether the user refuses something for themselves."""
    # "My sister can't watch ..." is not the user's own refusal. A refusal with an "I" is, unless it is reported: "since
    # my son was born I can't watch ..." is the user's.
    has_subject = sentence.startswith(("i ", "i'"), opening.start())
    others = _grammar().reported if has_subject else _grammar().other_person
    if others.search(sentence, 0, opening.start()):
        return False
    # "I can't watch gore at night, but I love it": whoever likes it refuses nothing.
    return not _grammar().wanted.search(sentence, opening.start())


def _is_of_the_user(sentence: str) -> bool:
    """Say whether a sentence says of the user, and of no other person, how they bear something."""
    if _grammar().reported.search(sentence) or _grammar().wanted.search(sentence):
        return False
    return bool(_FIRST_PERSON.search(sentence)) or not _grammar().other_person.search(sentence)


def _end_of_refusal(sentence: str, opening: re.Match[str], things: list[Span]) -> int:
    """Return where a refusal ends, with the medium that it names: "no gore in films"."""
    end = max(opening.end(), things[-1][1])
    medium = _grammar().medium.match(sentence, end)
    return medium.end() if medium else end


def refused_by_pointing(named: str, sentence: str) -> Refusal | None:
    """Return what `sentence` refuses by pointing back to the sentence in front of it, with spans in that one.

    "My ex hit me. I can't watch that." refuses what the first of the two names.
    """
    grammar = _grammar()
    if not grammar.pointing.match(sentence):
        return None
    # A question, other people's words and praise name nothing that the user would refuse.
    if "?" in named or grammar.reported.search(named) or grammar.wanted.search(named):
        return None
    things = _things(named, _whole(named), set(), is_scene=True)
    return Refusal(grammar.frames[0].rule, things, (0, len(named))) if things else None


def warm_up() -> None:
    """Compile the patterns and read the vocabulary."""
    load_depictions()
    grammar = _grammar()
    grammar.gates.admitted([])
    for name in _MARKS:
        getattr(grammar, name).search("")
    for frame in grammar.frames:
        frame.rule.pattern.search("")


class _Region(NamedTuple):
    """Where a refusal opens, where what is refused is named, and where the text ends that may go on behind it."""

    opening: int
    start: int
    end: int
    text_end: int


def _whole(sentence: str) -> _Region:
    return _Region(0, 0, len(sentence), len(sentence))


def _refused(sentence: str, opening: re.Match[str]) -> _Region:
    """Return the region of what is refused: a group of the pattern, or else the rest of the sentence."""
    if opening.groupdict().get("refused"):
        start, end = opening.span("refused")
        return _Region(opening.start(), start, end, end)
    start = opening.end()
    verb = _grammar().verb.search(sentence, start)
    # "No blood was found" says something of blood. In "nothing where a dog is hurt" the verb belongs to the thing.
    if verb and not _grammar().relative.search(sentence, opening.start(), verb.start()):
        return _Region(opening.start(), start, verb.start(), len(sentence))
    return _Region(opening.start(), start, len(sentence), len(sentence))


def _things(sentence: str, region: _Region, found: set[str], *, is_scene: bool = False) -> list[Span]:
    """Return the spans of the sensitivities in a region, one per sensitivity, and add them to `found`."""
    words, places = _words(sentence, region.start, region.end)
    things: list[Span] = []
    for sensitivity, spans in _by_sensitivity(words, found, is_scene=is_scene).items():
        start, end = _words_of_one(spans)
        thing = places[start][0], places[end - 1][1]
        # Words that go on, as in "no blood test", mean something else, and end what is refused. What a scene holds is a
        # sentence of its own: "films in which the mentally ill man is the murderer".
        is_scene = is_scene or bool(_grammar().scene.search(sentence, region.opening, thing[0]))
        if not is_scene and _grammar().compound.match(sentence, thing[1], region.text_end):
            break
        found.add(sensitivity)
        things.append(thing)
    # Two sensitivities may be named by the same words: the constraint is about the words, so one is enough.
    return sorted(set(things))


def _by_sensitivity(words: tuple[str, ...], found: set[str], *, is_scene: bool) -> dict[str, list[Named]]:
    """Return where the words name each sensitivity that is not in `found` yet."""
    by_sensitivity: dict[str, list[Named]] = {}
    for named in sensitivities_in(words):
        is_first = not by_sensitivity
        # "I hate losing at the game, it's depressing": what another clause names is not what is refused.
        if is_first and not is_scene and CLAUSE_END in words[: named.start]:
            break
        if named.group not in found:
            by_sensitivity.setdefault(named.group, []).append(named)
    return by_sensitivity


def _words_of_one(spans: list[Named]) -> Span:
    """Return the first and the last place of the words that name one sensitivity: "suicide or self-harm"."""
    first = min(spans, key=lambda named: (named.start, -named.end))
    end = max(named.end for named in spans)
    # Far apart, the first of them is enough.
    return (first.start, first.end) if end - first.start > ABOUT_WORDS else (first.start, end)


def _words(sentence: str, start: int, end: int) -> tuple[tuple[str, ...], list[Span]]:
    """Return the words between two places as `sensitivities_in` reads them, and the place of each in the sentence."""
    words: list[str] = []
    places: list[Span] = []
    for token in _TOKEN.finditer(sentence, start, end):
        for word in _spelled(token[0]):
            words.append(word)
            places.append(token.span())
    return tuple(words), places


def _spelled(token: str) -> list[str]:
    """Spell out one token: "can't" is "cannot", "isn't" is "is not", and the "'s" of a genitive is left out."""
    if token in ",()":
        return [CLAUSE_END]
    if token == "can't":
        return ["cannot"]
    if token.endswith("n't"):
        return [token.removesuffix("n't"), "not"]
    return [token.removesuffix("'s")] if token.endswith("'s") else token.split("'")


@cache
def _grammar() -> _Grammar:
    table = tomllib.loads(files("mirror_graph.ledger").joinpath("refusals.toml").read_text("utf-8"))
    words = Words({name: f"(?:{text})" for name, text in table["words"].items()})
    frames: list[_Frame] = []
    for entry in table["refusals"]:
        frames += _frames(entry, words)
    patterns = {name: Pattern(table[name]) for name in _MARKS}
    return _Grammar(**patterns, frames=frames, gates=Gates(frame.rule.pattern for frame in frames))


def _frames(entry: dict[str, Any], words: Words) -> list[_Frame]:
    severity = entry["severity"]
    frames: list[_Frame] = []
    for source in entry["says"]:
        rule = Rule(entry["kind"], severity, severity, Pattern(source, words), None)
        frames.append(_Frame(rule, entry.get("on_screen", False), entry.get("anywhere", False)))
    return frames
