"""What a film, book or game shows, read from its public description, and what a person cannot bear to see.

A film about a peanut farm is no danger to a person with an allergy, and a film about a family may show the loss of a
child. So what is shown has words of its own, in `depictions.toml`, apart from the words of what is met in person.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import product
from typing import NamedTuple

from mirror_graph.ledger.words import split

TEXT_LIMIT = 8_000
"""Characters of a text that are read."""

LOOKALIKE = "lookalike"
_SHORTEST_BEGINNING = 3
_SKIPPED_WORDS = 3
"""How many words `..` stands for at most."""

_JUDGED_FROM = 8
"""From how many words on an English text has one of the commonest words."""
_FUNCTION_WORDS = frozenset(
    {"the", "a", "of", "and", "to", "with", "for", "his", "her", "their", "who", "is", "are", "from", "that", "by"}
)

_CANNOT = re.compile(r"\bcan(?:['\u2019]t|not| not)\b", re.IGNORECASE)
_WILL_NOT = re.compile(r"\bwon['\u2019]t\b", re.IGNORECASE)
_NOT = re.compile(r"n['\u2019]t\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?;:\n]+(?=\s|\Z)|\n")
_CLAUSE_END = re.compile(r"[,()]|\s[-\u2013\u2014]+\s|\u2014")
CLAUSE_END = ","

_LOOKS = frozenset(
    "hipped haired eyed nosed shaped like themed patterned print printed coloured colored inspired style styled esque "
    "flavoured flavored sized red orange".split()
)
"""What a word in front of these only compares with."""

_NEGATIONS = {"no": 2, "not": 2, "never": 3, "without": 4, "nor": 2, "neither": 2, "zero": 2}
"""How many words after a negation it still denies."""
_NOTHING = frozenset({"nobody", "none", "nothing"})
_WORDS_AFTER_NOTHING = 3
_NO_NEGATION = frozenset({("no", "longer"), ("no", "matter"), ("no", "doubt"), ("no", "sooner"), ("not", "only"),
                          ("not", "just"), ("not", "even"), ("without", "warning"), ("not", "until")})  # fmt: skip


class _Phrase(NamedTuple):
    """Words that follow one another, and the group that they speak for."""

    words: tuple[str, ...]
    group: str


class Named(NamedTuple):
    """The words of a sentence that name a group: from word `start` up to before word `end`."""

    group: str
    start: int
    end: int


class _Sequence(NamedTuple):
    """Two blocks that speak for a group if the second follows the first within `most` words."""

    first: str
    most: int
    second: str
    group: str


class _Depictions(NamedTuple):
    """The vocabulary: phrases by their first word, sequences by their first block, and what touches what."""

    exact: Mapping[str, Sequence[_Phrase]]
    beginnings: Mapping[str, Sequence[_Phrase]]
    sequences: Mapping[str, Sequence[_Sequence]]
    not_between: Mapping[str, frozenset[str]]
    unless: Mapping[str, frozenset[str]]
    """Blocks in whose sentence a group is not meant: a needle in a knitting club is no injection."""
    topics: frozenset[str]
    """What can be shown."""
    touched_by: Mapping[str, frozenset[str]]
    """The topics that touch each sensitivity."""
    by_sight: frozenset[str]
    """The sensitivities by which seeing something brings on a medical condition."""
    named_by: Mapping[str, frozenset[str]]
    """The sensitivity that a topic's own words name, for topics of one sensitivity only."""


@lru_cache(maxsize=4096)
def topics_shown(text: str) -> frozenset[str]:
    """Return the topics that a text says are shown. What it denies ("no animal is hurt") is not."""
    topics: set[str] = set()
    for sentence in _sentences(text):
        for span in _read(sentence, is_denial_read=True):
            kind, _, name = span.group.partition(":")
            if kind == "topic":
                topics.add(name)
    return frozenset(topics & load_depictions().topics)


@lru_cache(maxsize=4096)
def is_readable(text: str) -> bool:
    """Say whether a text is in English, the language of the vocabulary. A text of a few words is taken to be."""
    words = split(text[:TEXT_LIMIT])
    return len(words) < _JUDGED_FROM or not _FUNCTION_WORDS.isdisjoint(words)


@lru_cache(maxsize=4096)
def sensitivities_named(text: str) -> frozenset[str]:
    """Return the sensitivities that a person's words name. "No slurs, please" names one as much as "slurs" does."""
    found: set[str] = set()
    for sentence in _sentences(text):
        for named in sensitivities_in(sentence):
            found.add(named.group)
    return frozenset(found)


def sensitivities_in(words: tuple[str, ...]) -> list[Named]:
    """Return the sensitivities that the words of one sentence name, each with the places of the words that name it.

    The words are those of `split`, with `","` at the end of a clause.
    """
    named_by = load_depictions().named_by
    found: list[Named] = []
    for span in _read(words, is_denial_read=False):
        kind, _, name = span.group.partition(":")
        if kind == "sensitivity":
            found.append(Named(name, span.start, span.end))
        elif kind == "topic":
            # "No films about war" names a topic, and so the one sensitivity that this topic touches.
            for sensitivity in named_by.get(name, ()):
                found.append(Named(sensitivity, span.start, span.end))
    return _without_doubles(found)


def _without_doubles(found: list[Named]) -> list[Named]:
    """Leave out a sensitivity whose words are among those that name another one, which has more of them.

    In "children who are hurt or kidnapped", the kidnapping is one of children, and none by a partner.
    """
    places: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
    for named in found:
        places[named.group].add((named.start, named.end))
    left: list[Named] = []
    for named in found:
        if not any(places[named.group] < others for others in places.values()):
            left.append(named)
    return left


def touching_topics(sensitivities: Iterable[str]) -> frozenset[str]:
    """Return the topics that touch any of these sensitivities."""
    touched_by = load_depictions().touched_by
    topics: set[str] = set()
    for name in sensitivities:
        topics |= touched_by[name]
    return frozenset(topics)


def is_by_sight(sensitivities: Iterable[str]) -> bool:
    """Say whether any of these is a medical condition that is reached by what is only shown."""
    return not load_depictions().by_sight.isdisjoint(sensitivities)


@cache
def load_depictions() -> _Depictions:
    """Read the vocabulary once per process."""
    fields = tomllib.loads(files("mirror_graph.ledger").joinpath("depictions.toml").read_text("utf-8"))
    exact: defaultdict[str, list[_Phrase]] = defaultdict(list)
    beginnings: defaultdict[str, list[_Phrase]] = defaultdict(list)
    sequences: defaultdict[str, list[_Sequence]] = defaultdict(list)
    not_between: dict[str, frozenset[str]] = {}
    unless: dict[str, frozenset[str]] = {}

    def learn(group: str, words: str) -> None:
        for phrase in _phrases(words, group):
            first = phrase.words[0]
            if first.endswith("*"):
                beginnings[first[:-1]].append(phrase)
            else:
                exact[first].append(phrase)

    learn(LOOKALIKE, fields["lookalikes"])
    for name, words in fields["blocks"].items():
        learn(f"block:{name}", words)
    for kind, entries in (("topic", fields["topics"]), ("sensitivity", fields["sensitivities"])):
        for name, entry in entries.items():
            group = f"{kind}:{name}"
            learn(group, entry["words"])
            for order in entry.get("order", ()):
                first, most, second = order.split()
                sequences[f"block:{first}"].append(_Sequence(f"block:{first}", int(most), f"block:{second}", group))
            not_between[group] = frozenset(f"block:{block}" for block in entry.get("not_between", ()))
            unless[group] = frozenset(f"block:{block}" for block in entry.get("unless", ()))

    touched_by: dict[str, frozenset[str]] = {}
    by_sight: set[str] = set()
    for name, entry in fields["sensitivities"].items():
        touched_by[name] = frozenset(entry["topics"])
        if entry.get("by_sight"):
            by_sight.add(name)
    return _Depictions(
        exact=exact,
        beginnings=beginnings,
        sequences=sequences,
        not_between=not_between,
        unless=unless,
        topics=frozenset(fields["topics"]),
        touched_by=touched_by,
        by_sight=frozenset(by_sight),
        named_by=_named_by(fields["topics"], touched_by),
    )


def _named_by(topics: Iterable[str], touched_by: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Find the one sensitivity of each topic. The words of a topic that several share name none of them."""
    named_by: dict[str, frozenset[str]] = {}
    for topic in topics:
        owners = [name for name, touching in touched_by.items() if topic in touching]
        if len(owners) == 1:
            named_by[topic] = frozenset(owners)
    return named_by


def _phrases(words: str, group: str) -> Iterator[_Phrase]:
    for spelling in words.replace("\n", " ").split(","):
        read: list[str] = []
        for part in spelling.split():
            if part == "..":
                read.append(part)
                continue
            plain = split(part)
            read.extend(plain[:-1])
            read.append(plain[-1] + "*" if part.endswith("*") else plain[-1])
        if read:
            yield _Phrase(tuple(read), group)


def _sentences(text: str) -> Iterator[tuple[str, ...]]:
    """Split a text into sentences of plain words, with a comma at the end of a clause."""
    text = _CANNOT.sub("cannot", text[:TEXT_LIMIT])
    text = _NOT.sub(" not", _WILL_NOT.sub("will not", text))
    for sentence in _SENTENCE_END.split(text):
        words: list[str] = []
        for clause in _CLAUSE_END.split(sentence):
            read = split(clause)
            if read:
                words.extend([*read, CLAUSE_END])
        if words:
            yield tuple(words[:-1])


def _read(sentence: tuple[str, ...], *, is_denial_read: bool) -> list[Named]:
    """Return the topics and sensitivities that a sentence speaks of.

    `is_denial_read` says whether what the sentence denies is left out: a film without blood shows none, but a person
    who asks for no blood names it.
    """
    found = list(dict.fromkeys(_spans(sentence)))
    lookalikes = [span for span in found if span.group == LOOKALIKE]
    spans: list[Named] = []
    for span in found:
        # "A blood orange" shows no blood: the words of a lookalike mean something else, so no phrase may use them.
        if _is_lookalike(span, lookalikes) or _describes_a_look(sentence, span):
            continue
        if is_denial_read and _is_denied(sentence, span):
            continue
        spans.append(span)
    return _that_count(spans, [*spans, *_joined(sentence, spans)])


def _that_count(spans: Sequence[Named], whole: Sequence[Named]) -> list[Named]:
    """Return those of `whole` that neither a longer phrase nor the rest of the sentence gives another meaning."""
    covered = _covered(spans)
    groups = {span.group for span in spans}
    unless = load_depictions().unless
    counting: list[Named] = []
    for span in whole:
        # In a knitting club, a needle is no injection.
        if span not in covered and groups.isdisjoint(unless.get(span.group, ())):
            counting.append(span)
    return counting


def _is_lookalike(span: Named, lookalikes: Sequence[Named]) -> bool:
    """Say whether words are only alike. A longer phrase around them says what is meant: "addicted to heroin"."""
    for other in lookalikes:
        is_longer = _is_inside(other, span) and _is_longer(span, other)
        if span.start < other.end and other.start < span.end and not is_longer:
            return True
    return False


def _describes_a_look(sentence: tuple[str, ...], span: Named) -> bool:
    """Say whether a word only describes something else: "snake-hipped", "spider-shaped", "blood-coloured"."""
    return span.end - span.start == 1 and not _LOOKS.isdisjoint(sentence[span.end : span.end + 1])


def _covered(spans: Sequence[Named]) -> set[Named]:
    """Return the spans inside a longer one, without the blocks.

    The longer phrase says what is meant: a mental hospital is no hospital, and motion sickness is no illness.
    """
    direct = [span for span in spans if not span.group.startswith("block:")]
    covered: set[Named] = set()
    for span in direct:
        for longer in direct:
            if _is_inside(span, longer) and _is_longer(longer, span):
                covered.add(span)
    return covered


def _spans(sentence: tuple[str, ...]) -> Iterator[Named]:
    depictions = load_depictions()
    for start, word in enumerate(sentence):
        for phrase in depictions.exact.get(word, ()):
            if _may_follow(phrase, sentence, start):
                yield from _span(phrase, sentence, start)
        for length in range(_SHORTEST_BEGINNING, len(word) + 1):
            for phrase in depictions.beginnings.get(word[:length], ()):
                if _may_follow(phrase, sentence, start):
                    yield from _span(phrase, sentence, start)


def _may_follow(phrase: _Phrase, sentence: tuple[str, ...], start: int) -> bool:
    """Say whether the next word is a phrase's second one. Most phrases end here, and looking is cheap."""
    if len(phrase.words) == 1 or phrase.words[1] == "..":
        return True
    return start + 1 < len(sentence) and _fits(phrase.words[1], sentence[start + 1])


def _span(phrase: _Phrase, sentence: tuple[str, ...], start: int) -> Iterator[Named]:
    """Yield where a phrase ends that may begin at `start`."""
    end = start + 1
    skipping = False
    for part in phrase.words[1:]:
        if part == "..":
            skipping = True
            continue
        last = end + _SKIPPED_WORDS if skipping else end
        place = _first_fitting(part, sentence, end, last)
        # A phrase does not go on in another clause.
        if place is None or CLAUSE_END in sentence[end:place]:
            return
        end, skipping = place + 1, False
    yield Named(phrase.group, start, end)


def _first_fitting(part: str, sentence: tuple[str, ...], first: int, last: int) -> int | None:
    """Return the first place from `first` to `last` whose word fits a part of a phrase, or None."""
    for place in range(first, min(last + 1, len(sentence))):
        if _fits(part, sentence[place]):
            return place
    return None


def _fits(part: str, word: str) -> bool:
    return word.startswith(part[:-1]) if part.endswith("*") else word == part


def _joined(sentence: tuple[str, ...], spans: list[Named]) -> Iterator[Named]:
    """Yield what two blocks say together."""
    depictions = load_depictions()
    by_group: defaultdict[str, list[Named]] = defaultdict(list)
    for span in spans:
        by_group[span.group].append(span)
    for group, firsts in by_group.items():
        for sequence in depictions.sequences.get(group, ()):
            barriers: list[Named] = []
            for barred in depictions.not_between[sequence.group]:
                barriers += by_group.get(barred, ())
            for first, second in product(firsts, by_group.get(sequence.second, ())):
                gap = Named("", first.end, second.start)
                if _is_near(gap, sentence, sequence.most) and not _has_inside(gap, barriers):
                    yield Named(sequence.group, first.start, second.end)


def _is_near(gap: Named, sentence: tuple[str, ...], most: int) -> bool:
    """Say whether the second block follows the first one, with at most this many words in the gap between them."""
    if gap.end < gap.start:
        return False
    between = sentence[gap.start : gap.end]
    return len(between) - between.count(CLAUSE_END) <= most


def _has_inside(gap: Named, barriers: Sequence[Named]) -> bool:
    """Say whether a barrier stands in a gap: "the dog is found and the man dies" is no dead dog."""
    return any(_is_inside(barrier, gap) for barrier in barriers)


def _is_inside(span: Named, other: Named) -> bool:
    return other.start <= span.start and span.end <= other.end


def _is_longer(span: Named, other: Named) -> bool:
    return span.end - span.start > other.end - other.start


def _is_denied(sentence: tuple[str, ...], span: Named) -> bool:
    """Say whether the words around a span deny it: "no blood", "without a drop of blood", "nobody is killed"."""
    # "A blood-free film".
    if sentence[span.end : span.end + 1] == ("free",):
        return True
    for place in range(span.start - 1, max(-1, span.start - 6), -1):
        word = sentence[place]
        # A negation in the clause before says nothing about this one: "no plot, but blood".
        if word == CLAUSE_END:
            return False
        distance = span.start - place
        following = sentence[place + 1 : place + 2]
        # "Nobody is killed": whoever it is, it is the nearest subject, so nothing further back can deny the span.
        if word in _NOTHING or (word == "no" and following == ("one",)):
            return distance <= _WORDS_AFTER_NOTHING
        # "No blood" denies it, and "not only blood" does not.
        if distance <= _NEGATIONS.get(word, 0) and (word, *following) not in _NO_NEGATION:
            return True
    return False
