"""What a user states about themselves in this very message, found by rules in a few milliseconds, without a model."""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from mirror_graph.ledger.folding import Folded, fold
from mirror_graph.ledger.gates import words_of
from mirror_graph.ledger.identity import constraint_id
from mirror_graph.ledger.lexicon import Language, Pattern, Rule, has_mark, lexicon
from mirror_graph.ledger.own_words import STEPS
from mirror_graph.ledger.quotes import SENTENCE
from mirror_graph.ledger.refusals import refusals_in, refused_by_pointing
from mirror_graph.ledger.refusals import warm_up as warm_up_refusals
from mirror_graph.ledger.spelling import corrected
from mirror_graph.state.values import SafetyConstraint, Severity

LIMIT = 16
QUOTE_LIMIT = 300

SLICE_SECONDS = 0.004
"""How long a scan in slices may hold the event loop."""

BLOCK = 4_000
LONGEST_SENTENCE = 1_200
"""Characters that are scanned at once, and of a sentence: what runs on is read in parts."""

OPENINGS = 32
"""How often a frame is tried in one part of a sentence: more "I am" than that are no speech."""

SHORT_MESSAGE = 500
"""Characters of a message in which a danger and what it does to the user belong together, wherever each stands."""

_SHORT_QUESTION = 40
_SHORT_NOTE = 60
_BEHIND_NOTE = 240
_NEXT_TO = 12
_NEAR = 120
_FAR = 400
CAN_KILL = frozenset({"allergy", "intolerance", "medical", "medication", "dietary"})

Span = tuple[int, int]


class _Sentence(NamedTuple):
    """One sentence of a folded text; every span below counts from its `start`."""

    folded: Folded
    start: int
    words: str

    def verbatim(self, start: int, end: int) -> str:
        return self.folded.verbatim(self.start + start, self.start + end)


class _Match(NamedTuple):
    """A rule that fits, the dangers it found, and where it ends."""

    rule: Rule
    things: list[Span]
    end: int


class _Claim(NamedTuple):
    """What is stated, of whom, in which language, and from where to where."""

    language: Language
    rule: Rule
    subject: str
    things: list[Span]
    span: Span


def scan(text: str) -> list[SafetyConstraint]:
    """Find the safety constraints that a user states in `text`, in the order of the text.

    They are provisional: the memory thinker confirms or drops them. There are at most 16. The time is linear in
    the length of `text`, and what was found in a text is remembered, so that scanning it again costs nothing.
    """
    remembered = _remembered.get(text)
    return _remembered.put(text, scan_afresh(text)) if remembered is None else remembered


def scan_afresh(text: str) -> list[SafetyConstraint]:
    """Do as `scan` does without remembering anything: what a first scan costs."""
    slices = _slices(text)
    while True:
        try:
            next(slices)
        except StopIteration as end:
            found: list[SafetyConstraint] = end.value
            return found


async def scan_in_slices(text: str) -> list[SafetyConstraint]:
    """Do as `scan` does, and let the event loop run whenever `SLICE_SECONDS` have passed."""
    remembered = _remembered.get(text)
    if remembered is not None:
        return remembered
    slices = _slices(text)
    started = time.perf_counter()
    while True:
        try:
            next(slices)
        except StopIteration as end:
            return _remembered.put(text, end.value)
        if time.perf_counter() - started > SLICE_SECONDS:
            await asyncio.sleep(0)
            started = time.perf_counter()


def warm_up() -> None:
    """Compile what every message needs, and what one in English needs: two seconds of work, to be done off the loop."""
    corrected(fold("allergic", "allergic"))
    warm_up_refusals()
    languages = lexicon().languages
    for language in languages:
        _compile(language.marks())
    _warm_up_rules(languages[0])


def warm_up_other_languages() -> None:
    """Compile what a message in any other language needs, and every pattern for what is over: five seconds of work."""
    from mirror_graph.ledger.retraction import warm_up as warm_up_retractions  # it stands above this module

    warm_up_retractions()
    for language in lexicon().languages[1:]:
        _warm_up_rules(language)


def _warm_up_rules(language: Language) -> None:
    language.gates.admitted([])
    _compile(language.rules())


def _compile(patterns: Iterable[Pattern]) -> None:
    for pattern in patterns:
        pattern.search("")


class _Remembered:
    """What was found in the last texts, by a digest of each: a text may be long, and is not stored."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._found: OrderedDict[bytes, tuple[SafetyConstraint, ...]] = OrderedDict()

    def get(self, text: str) -> list[SafetyConstraint] | None:
        """Return copies of what was found in `text`, or None for a text that is not remembered."""
        found = self._found.get(_digest(text))
        return None if found is None else list(map(_copied, found))

    def put(self, text: str, found: list[SafetyConstraint]) -> list[SafetyConstraint]:
        """Remember what was found in `text`, and return it."""
        self._found[_digest(text)] = tuple(map(_copied, found))
        while len(self._found) > self._size:
            self._found.popitem(last=False)
        return found


_remembered = _Remembered(size=1024)


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _copied(constraint: SafetyConstraint) -> SafetyConstraint:
    return {**constraint, "source": {**constraint["source"]}}


def _slices(text: str) -> Generator[None, None, list[SafetyConstraint]]:
    """Scan `text`, giving way after each small piece of work, and return what was found."""
    own = text
    for step in STEPS:
        own = step(own)
        yield
    findings = _Findings({}, set())
    for start, end in _cut(own, BLOCK):
        folded = corrected(fold(own[start:end], text, start))
        yield
        for sentence, previous in _in_order(folded, opens_message=start == 0):
            if previous is not None:
                findings.add_all(_pointed_at(previous, sentence))
            for claim in _claims(sentence):
                findings.add(sentence, claim)
                yield
            if len(findings.constraints) >= LIMIT:
                return findings.without_signs()[:LIMIT]
            yield
        if findings.is_nothing_but_signs() and len(own) <= SHORT_MESSAGE:
            whole = _Sentence(folded, 0, folded.text)
            for claim in _with_reaction(whole):
                findings.add(whole, claim)
            yield
    return findings.without_signs()


class _Findings(NamedTuple):
    """The constraints found in a text by their ids, and the ids of those that only stand for a danger."""

    constraints: dict[str, SafetyConstraint]
    signs: set[str]

    def add(self, sentence: _Sentence, claim: _Claim) -> None:
        """Add what a claim names."""
        constraints = _constraints(sentence, claim)
        self.add_all(constraints)
        if claim.rule.is_sign:
            self.signs.update(constraint["id"] for constraint in constraints)

    def add_all(self, constraints: Iterable[SafetyConstraint]) -> None:
        """Add constraints, of two with one id the first."""
        for constraint in constraints:
            self.constraints.setdefault(constraint["id"], constraint)

    def is_nothing_but_signs(self) -> bool:
        """Say whether no danger itself was found."""
        return self.constraints.keys() <= self.signs

    def without_signs(self) -> list[SafetyConstraint]:
        """Return what was found, without what a person only carries against a danger that the text names.

        An adrenaline pen says that an allergy of its owner's may kill. It does not say which, so any that is named may.
        """
        marked: dict[tuple[str, str], Severity] = {}
        named: set[tuple[str, str]] = set()
        for key, constraint in self.constraints.items():
            owner = constraint["kind"], constraint["subject"]
            if key in self.signs:
                marked[owner] = constraint["severity"]
            else:
                named.add(owner)
        staying: list[SafetyConstraint] = []
        for key, constraint in self.constraints.items():
            owner = constraint["kind"], constraint["subject"]
            if key not in self.signs:
                staying.append({**constraint, "severity": marked.get(owner, constraint["severity"])})
            elif owner not in named:
                staying.append(constraint)
        return staying


def _in_order(folded: Folded, *, opens_message: bool) -> Iterator[tuple[_Sentence, _Sentence | None]]:
    """Yield each sentence with the one in front of it, and last the note that opens a message."""
    previous: _Sentence | None = None
    for sentence in _sentences(folded):
        yield sentence, previous
        previous = sentence
    if opens_message:
        for sentence in _note_with_next(folded):
            yield sentence, None


def _sentences(folded: Folded) -> Iterator[_Sentence]:
    """Yield the sentences of a text in pieces that a pattern can be tried on.

    A short question is one with the sentence that answers it: "Peanuts? I'm allergic to them."
    """
    asked: int | None = None
    for match in SENTENCE.finditer(folded.text):
        start, end = match.span()
        first_of_pair = asked
        short = end - start <= _SHORT_QUESTION and match[0].rstrip().endswith("?")
        asked = start if short else None
        # Only a sentence that points back is read with the question: "Peanuts? I like jazz." stays in two.
        if first_of_pair is not None and has_mark(match[0], "refers"):
            start = first_of_pair
        for first, last in _cut(folded.text[start:end], LONGEST_SENTENCE):
            yield _Sentence(folded, start + first, folded.text[start + first : start + last])


def _note_with_next(folded: Folded) -> Iterator[_Sentence]:
    """Yield a note that opens a message with the sentence behind it: "Osteoporosis. I broke a wrist last year."

    The note names a condition and no person. Only the next sentence says whose it is.
    """
    sentences = list(islice(SENTENCE.finditer(folded.text), 2))
    if len(sentences) < 2:
        return
    first, following = sentences
    if first[0].endswith("?") or has_mark(first[0], "cue"):
        return
    if first.end() - first.start() <= _SHORT_NOTE:
        end = min(following.end(), first.start() + _BEHIND_NOTE)
        yield _Sentence(folded, first.start(), folded.text[first.start() : end])


def _cut(text: str, longest: int) -> Iterator[Span]:
    """Yield the places of consecutive parts of `text`, each ending at a line, a sentence or a word if possible."""
    start = 0
    while len(text) - start > longest:
        end = start + longest
        for mark in ("\n", ". ", ", ", " "):
            place = text.rfind(mark, start + longest // 2, end)
            if place >= 0:
                end = place + len(mark)
                break
        yield start, end
        start = end
    yield start, len(text)


def _constraints(sentence: _Sentence, claim: _Claim) -> list[SafetyConstraint]:
    """Return a constraint for each thing of a claim that has a name."""
    constraints = [_constraint(sentence, claim, thing) for thing in claim.things]
    return [constraint for constraint in constraints if constraint["about"]]


def _constraint(sentence: _Sentence, claim: _Claim, thing: Span) -> SafetyConstraint:
    about = sentence.verbatim(*thing)
    return {
        "id": constraint_id(claim.rule.kind, about, claim.subject),
        "kind": claim.rule.kind,
        "about": about,
        "severity": _severity(sentence, claim),
        "subject": claim.subject,
        "status": "provisional",
        "source": {
            "message": "",
            "turn": 0,
            "quote": _quote(sentence, claim),
            "language": claim.language.code,
            "recorded_at": 0.0,
        },
        "first_turn": 0,
    }


def _severity(sentence: _Sentence, claim: _Claim) -> Severity:
    """Weigh the words around a claim: "it could kill me" may be the next sentence."""
    start, end = claim.span
    near = max(0, start - _NEAR) + sentence.start, end + _NEAR + sentence.start
    if claim.rule.kind in CAN_KILL and claim.language.deadly.search(sentence.folded.text, *near):
        return "life-threatening"
    intense = claim.language.intense.search(sentence.words, start, end + _NEXT_TO)
    return claim.rule.intense if intense else claim.rule.severity


def _quote(sentence: _Sentence, claim: _Claim) -> str:
    if len(sentence.words) <= QUOTE_LIMIT:
        return sentence.verbatim(0, len(sentence.words))
    start = claim.span[0]
    return sentence.verbatim(start, min(start + QUOTE_LIMIT, len(sentence.words)))


def _claims(sentence: _Sentence) -> Iterator[_Claim]:
    """Yield what a sentence claims; of two readings that overlap, the first one counts."""
    taken = bytearray(len(sentence.words))
    things: list[str] = []
    words = words_of(sentence.words)
    for language in _languages_of(words):
        admitted = language.gates.admitted(words)
        for claim in [*_framed(language, sentence, admitted), *_unframed(language, sentence, admitted)]:
            start, end = claim.span
            # The same words are no second danger, in whichever language they are read.
            if any(taken[start:end]):
                continue
            taken[start:end] = bytes([1]) * (end - start)
            for thing in claim.things:
                things.append(sentence.verbatim(*thing))
            yield claim
    yield from _refused(sentence, ", ".join(things))


def _with_reaction(message: _Sentence) -> Iterator[_Claim]:
    """Yield what a short message names next to what it does to the user: "Eggs, my kryptonite. I was in hospital"."""
    words = words_of(message.words)
    for language in _languages_of(words):
        if not language.reactions or language.not_own.search(message.words):
            continue
        admitted = language.gates.admitted(words)
        for reaction in language.reactions:
            if not {reaction.felt, reaction.named.pattern} <= admitted or not reaction.felt.search(message.words):
                continue
            named = reaction.named.pattern.search(message.words)
            if named:
                yield _Claim(language, reaction.named, "user", [named.span("about")], named.span())
                return


def _refused(sentence: _Sentence, known: str) -> Iterator[_Claim]:
    """Yield what a sentence refuses to be shown, unless a claim of the sentence names it already."""
    language = lexicon().languages[0]
    for refusal in refusals_in(sentence.words, known):
        if _is_meant(language, sentence.words, *refusal.span):
            yield _Claim(language, refusal.rule, "user", refusal.things, refusal.span)


def _pointed_at(previous: _Sentence, sentence: _Sentence) -> Iterator[SafetyConstraint]:
    """Yield what a sentence refuses that the one in front of it names. Both are the quote."""
    language = lexicon().languages[0]
    refusal = refused_by_pointing(previous.words, sentence.words)
    if refusal is None or not _is_meant(language, sentence.words, 0, len(sentence.words)):
        return
    end = sentence.start + len(sentence.words)
    both = _Sentence(previous.folded, previous.start, previous.folded.text[previous.start : end])
    claim = _Claim(language, refusal.rule, "user", refusal.things, (0, len(both.words)))
    for thing in refusal.things:
        yield _constraint(both, claim, thing)


def _languages_of(words: list[str]) -> list[Language]:
    """Return the languages a sentence may be in, the one with the most cues first."""
    languages = lexicon().languages
    counts = [0] * len(languages)
    for word in words:
        for number in _languages_cued_by(word):
            counts[number] += 1
    # Of two languages with as many cues, the one that the lexicon lists first is tried first.
    order = sorted(range(len(languages)), key=lambda number: -counts[number])
    return [languages[number] for number in order if counts[number]]


@lru_cache(maxsize=8192)
def _languages_cued_by(word: str) -> tuple[int, ...]:
    """Return the languages, by number, that `word` is a cue of."""
    return tuple(number for number, language in enumerate(lexicon().languages) if language.cue.search(word))


def _framed(language: Language, sentence: _Sentence, admitted: set[Pattern]) -> Iterator[_Claim]:
    """Yield what is stated of a person, and what is joined to it: "I'm blind | and allergic to nuts"."""
    for frame in language.frames:
        predicates = _admitted(frame.predicates, admitted)
        if not predicates or frame.pattern not in admitted:
            continue
        for opening in islice(frame.pattern.finditer(sentence.words), OPENINGS):
            start, place = opening.span()
            for _ in range(LIMIT):
                found = _predicate(language, predicates, sentence.words, place)
                if found is None:
                    break
                subject = _subject(language, sentence, opening)
                # "She is allergic to nuts", with no one named before: it is not known whose danger it is.
                if subject and _is_meant(language, sentence.words, opening.start(), found.end):
                    yield _Claim(language, found.rule, subject, found.things, (start, found.end))
                joined = language.joins.match(sentence.words, found.end)
                if joined is None:
                    break
                start, place = found.end, joined.end()


def _admitted(rules: list[Rule], patterns: set[Pattern]) -> list[Rule]:
    return [rule for rule in rules if rule.pattern in patterns]


def _unframed(language: Language, sentence: _Sentence, admitted: set[Pattern]) -> Iterator[_Claim]:
    """Yield what is stated without a frame: "heights terrify me"."""
    words, statements = sentence.words, language.statements
    if not language.unframed.search(words):
        return
    at_clause, anywhere = _admitted(statements.at_clause, admitted), _admitted(statements.anywhere, admitted)
    if not at_clause and not anywhere:
        return
    clauses = [opening.end() for opening in islice(statements.opening.finditer(words), OPENINGS)]
    for rule in at_clause:
        for place in clauses:
            match = rule.pattern.match(words, place)
            if match:
                yield from _stated(language, sentence, rule, match)
    for rule in anywhere:
        for match in islice(rule.pattern.finditer(words), OPENINGS):
            yield from _stated(language, sentence, rule, match)


def _stated(language: Language, sentence: _Sentence, rule: Rule, match: re.Match[str]) -> Iterator[_Claim]:
    found = _read_rule(language, rule, match)
    if found and _is_meant(language, sentence.words, match.start(), found.end):
        subject = _named(sentence.verbatim(*match.span("whose"))) if match.groupdict().get("whose") else "user"
        yield _Claim(language, rule, subject, found.things, (match.start(), found.end))


def _predicate(language: Language, rules: list[Rule], words: str, place: int) -> _Match | None:
    """Return what the first rule that fits at `place` finds, up to where another rule would fit."""
    for rule in rules:
        match = rule.pattern.match(words, place)
        found = match and _read_rule(language, rule, match)
        if found:
            return _up_to_next_predicate(found, rules, words)
    return None


def _up_to_next_predicate(found: _Match, rules: list[Rule], words: str) -> _Match:
    """Return a match without the items of its list that are predicates: "allergic to nuts, milk and blind"."""
    for count, (start, _) in enumerate(found.things[1:], start=1):
        for rule in rules:
            if rule.pattern.match(words, start):
                return _Match(found.rule, found.things[:count], found.things[count - 1][1])
    return found


def _read_rule(language: Language, rule: Rule, match: re.Match[str]) -> _Match | None:
    """Read the dangers off: behind the match, or in a group of it."""
    if rule.danger:
        danger = rule.danger.match(match.string, match.end())
        things = _listed(language, danger, *danger.span()) if danger else []
        return _Match(rule, things, things[-1][1]) if things else None
    groups = match.groupdict()
    if groups.get("things"):
        return _Match(rule, _listed(language, match, *match.span("things")), match.end())
    return _Match(rule, [match.span("about")], match.end())


def _listed(language: Language, match: re.Match[str], start: int, end: int) -> list[Span]:
    things: list[Span] = []
    for separator in language.separators.finditer(match.string, start, end):
        things.append((start, separator.start()))
        # "Allergic to shellfish, one prawn put me in hospital": what follows is no further danger.
        if language.aside.match(match.string, separator.start()):
            return things
        start = separator.end()
    return [*things, (start, end)]


def _subject(language: Language, sentence: _Sentence, opening: re.Match[str]) -> str:
    """Say whom a frame is about: `"user"`, the person it names, or `""` for a person not introduced."""
    groups = opening.groupdict()
    # "My sister is allergic".
    if groups.get("whose"):
        return _named(sentence.verbatim(*opening.span("whose")))
    before = sentence.start + opening.start()
    # "My sister is coming. She is allergic": a pronoun stands for the person who was named last.
    if groups.get("pronoun") is not None:
        named = list(language.others.finditer(sentence.folded.text, max(0, before - _FAR), before))
        return _named(sentence.folded.verbatim(*named[-1].span())) if named else ""
    # A verb without a subject, inside a sentence, is the user's only if the user's "I" stands before it.
    is_elided = groups.get("elided") is not None and opening.start() > 0
    if is_elided and not language.first.search(sentence.words, 0, opening.start()):
        return ""
    return "user"


def _named(person: str) -> str:
    """Return a person as written inside a sentence: "my sister", also if the message opens with "My sister"."""
    return person[:1].lower() + " ".join(person.split())[1:]


def _is_meant(language: Language, words: str, start: int, end: int) -> bool:
    """Say whether a claim is meant: not imagined, denied, asked or over."""
    # "If I were allergic to nuts": the words before a claim turn it into something imagined.
    if language.unreal.search(words, max(0, start - _NEAR), start):
        return False
    # "Allergic to nuts as a child, not any more": the words behind it say that it is over.
    return not language.undone.search(words, end, end + _NEAR)
