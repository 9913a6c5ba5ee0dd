"""Does a constraint change the replies it touches, and no others? What each way of deciding finds and costs."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

from mirror_graph.errors import CallError, ConfigurationError
from mirror_graph.evals.curate.conversations import Control, write
from mirror_graph.evals.curate.dataset import Case, Category, Pool, read_cases, read_pool
from mirror_graph.evals.report import Aim, Figures, Report
from mirror_graph.ledger.user_messages import UserMessage, scan_messages
from mirror_graph.relevance.check import check
from mirror_graph.relevance.embeddings import similar_constraints
from mirror_graph.relevance.generated_triggers import generate_triggers
from mirror_graph.relevance.levels import relevant
from mirror_graph.relevance.match import THRESHOLD, evidence
from mirror_graph.state import MirrorContext
from mirror_graph.state.usage import NO_TOKENS
from mirror_graph.state.values import Kind, SafetyConstraint, Tokens

STRATEGIES = ("relations", "anticipate", "embeddings", "check")
WORDINGS = ("question_group_biased", "question_group")
REQUESTS = {"relations": 10, "anticipate": 10, "embeddings": 3, "check": 1}
"""With how many requests of each other kind a constraint is paired: a call for each takes its time."""

TRIVIA = 100
"""How many trivia questions each constraint is paired with."""

CALL_SECONDS = 600.0
NOTES = (
    "Halves by the SHA-256 of the constraint; the relations were improved on A; of B only figures were seen.",
    "A request of another category may touch the constraint all the same: a quadriplegic is asked to go skiing.",
)

Pair = tuple[SafetyConstraint, str]


class Pairs(NamedTuple):
    """Constraints with their own request, with one of another category, and with another one of their own."""

    own: list[Pair]
    other: list[Pair]
    same: list[Pair]


class Judged(NamedTuple):
    """How much speaks for it that a request touches an entry, and what it took to say so."""

    evidence: float
    seconds: float
    tokens: Tokens = NO_TOKENS
    failed: bool = False


Judge = Callable[[SafetyConstraint, str], Awaitable[Judged]]


def measure(
    inputs: str | None,
    model: str,
    strategies: str,
    limit: int | None,
    seed: int,
    touches: str | None,
    embeddings: str = "",
) -> Report:
    """Judge every pair by each strategy, half by half, in both wordings of the requests."""
    names = [name.strip() for name in strategies.split(",")]
    if unknown := [name for name in names if name not in STRATEGIES]:
        raise ConfigurationError(f"unknown strategy {unknown[0]!r}: expected one of {', '.join(STRATEGIES)}")
    if "embeddings" in names and not embeddings:
        raise ConfigurationError("the strategy 'embeddings' needs --embeddings NAME")
    cases, pool = read_cases(inputs or "curate"), read_pool(inputs or "curate")
    sample = random.Random(seed).sample(cases, min(limit or len(cases), len(cases)))
    context = MirrorContext(talker_model=model, temperature=0.0, thinker_timeout=CALL_SECONDS, embeddings=embeddings)
    return asyncio.run(_measure(sample, pool, names, context, seed, Path(touches) if touches else None))


async def _measure(
    cases: Sequence[Case],
    pool: Pool,
    strategies: Sequence[str],
    context: MirrorContext,
    seed: int,
    touches: Path | None,
) -> Report:
    entries = {case.id: _entry(case) for case in cases}
    tables: dict[str, Figures] = {
        "The matcher": _pace(cases, list(entries.values())),
        "Trivia questions, which touch no constraint": _everyday(cases, entries, pool, seed),
        "First messages that tell of a danger, as the scanner hears them": _introductions(cases, pool, seed),
    }
    anticipated = entries
    if "anticipate" in strategies:
        anticipated, tables["Anticipation, between turns"] = await _anticipate(entries, context, touches)
    judges: dict[str, Judge] = {
        "relations": _match,
        "anticipate": _match,
        "embeddings": _resembling(context),
        "check": _asking(context),
    }
    for wording in WORDINGS:
        tables[wording] = {
            f"{strategy}, {half}": await _figures(
                _pairs(
                    cases, anticipated if strategy == "anticipate" else entries, wording, half, REQUESTS[strategy], seed
                ),
                judges[strategy],
            )
            for strategy in strategies
            for half in sorted({half_of(case) for case in cases})
        }
    return Report(tables, _aims(tables[WORDINGS[0]]), NOTES)


def half_of(case: Case) -> str:
    """Return the half of the cases that one belongs to, `A` or `B`."""
    return "AB"[int(sha256(case.constraint.encode()).hexdigest(), 16) % 2]


def _pairs(
    cases: Sequence[Case], entries: dict[str, SafetyConstraint], wording: str, half: str, requests: int, seed: int
) -> Pairs:
    """Pair the constraints of a half with requests of that half."""
    chance = random.Random(seed)
    pairs = Pairs([], [], [])
    mine = [case for case in cases if half_of(case) == half]
    for case in mine:
        others = [other for other in mine if other.language == case.language and other.constraint != case.constraint]
        pairs.own.append((entries[case.id], getattr(case, wording)))
        for alike, chosen in ((False, pairs.other), (True, pairs.same)):
            fitting = [other for other in others if (other.category == case.category) is alike]
            drawn = chance.sample(fitting, min(requests, len(fitting)))
            chosen += [(entries[case.id], getattr(other, wording)) for other in drawn]
    return pairs


async def _figures(pairs: Pairs, judge: Judge) -> dict[str, float]:
    own, other, same = [[await judge(*pair) for pair in kind] for kind in pairs]
    judged = [*own, *other, *same]
    calls = sum(result.tokens["calls"] for result in judged)
    figures = {
        "n": float(len(own)),
        "recall %": _share(own),
        "false alarms %, another category": _share(other),
        "false alarms %, its own category": _share(same),
        "AUC": mean([(a.evidence > b.evidence) + (a.evidence == b.evidence) / 2 for a in own for b in other] or [0.5]),
        "p50 ms": 1_000 * median(result.seconds for result in judged),
        "calls a request": calls / len(judged),
    }
    if calls:
        figures["tokens a call"] = sum(result.tokens["input"] + result.tokens["output"] for result in judged) / calls
    if calls or any(result.failed for result in judged):
        figures["failed %"] = 100 * mean(result.failed for result in judged)
    return figures


def _share(judged: Sequence[Judged]) -> float:
    return 100 * mean(result.evidence >= THRESHOLD for result in judged) if judged else 0.0


async def _match(entry: SafetyConstraint, words: str) -> Judged:
    started = time.perf_counter()
    found = _evidence(entry, words)
    return Judged(found, time.perf_counter() - started)


def _evidence(entry: SafetyConstraint, words: str) -> float:
    """Count the evidence for what a reply would take for touched; the rest stays below what is enough."""
    return evidence(entry, words) if relevant([entry], words) else min(evidence(entry, words), THRESHOLD / 2)


def _resembling(context: MirrorContext) -> Judge:
    """Judge as a reply does that uses an embeddings model in addition to the matcher."""

    async def resemble(entry: SafetyConstraint, words: str) -> Judged:
        started = time.perf_counter()
        found = _evidence(entry, words)
        alike = await similar_constraints([entry], words, context.embeddings, CALL_SECONDS)
        return Judged(found + len(alike.ids), time.perf_counter() - started, failed=bool(alike.failure))

    return resemble


def _asking(context: MirrorContext) -> Judge:
    """Ask the model about each pair; a failure counts as untouched here, where a reply would fall back."""

    async def ask(entry: SafetyConstraint, words: str) -> Judged:
        checked = await check([entry], words, context, 1, CALL_SECONDS)
        found = 0.0 if checked.failure else float(bool(checked.ids))
        return Judged(found, checked.seconds, checked.tokens, bool(checked.failure))

    return ask


async def _anticipate(
    entries: dict[str, SafetyConstraint], context: MirrorContext, saved: Path | None
) -> tuple[dict[str, SafetyConstraint], Figures]:
    """Anticipate for each entry once; what `kept` holds from an earlier run is not asked again."""
    known = _saved(saved)
    seconds: list[float] = []
    tokens: list[int] = []
    failed = 0
    anticipated: dict[str, SafetyConstraint] = {}
    for key, entry in entries.items():
        started = time.perf_counter()
        if entry["about"] not in known:
            try:
                answer = await generate_triggers(entry, context, 1)
            except CallError:
                failed += 1
                continue
            known[entry["about"]] = answer.phrases
            seconds.append(time.perf_counter() - started)
            tokens.append(answer.tokens["input"] + answer.tokens["output"])
            _keep(saved, known)
        anticipated[key] = {**entry, "triggers": known[entry["about"]]}
    asked = {"seconds a call": mean(seconds), "tokens a call": mean(tokens)} if seconds else {}
    phrases = mean(map(len, known.values())) if known else 0.0
    return {**entries, **anticipated}, {"a constraint": {**asked, "phrases": phrases, "failed": failed}}


def _saved(file: Path | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(file.read_text("utf-8")) if file and file.is_file() else {}
    return found


def _keep(file: Path | None, known: dict[str, list[str]]) -> None:
    if file:
        file.write_text(json.dumps(known, ensure_ascii=False), encoding="utf-8")


def _pace(cases: Sequence[Case], entries: Sequence[SafetyConstraint]) -> Figures:
    """Time 64 entries against messages of 2,000 characters: the first, and those after it."""
    text = " ".join(case.question_group_biased for case in cases)
    messages = [text[start : start + 2_000] for start in range(0, 20_000, 2_000) if text[start:]]
    times = []
    relevant([], "")  # the relations are read once, at the first message
    for message in messages:
        started = time.perf_counter()
        relevant(entries[:64], message)
        times.append(1_000 * (time.perf_counter() - started))
    return {
        "64 entries, 2,000 characters": {
            "first ms": times[0],
            "p50 ms": median(times),
            "max ms": max(times[1:], default=times[0]),
        }
    }


def _everyday(cases: Sequence[Case], entries: dict[str, SafetyConstraint], pool: Pool, seed: int) -> Figures:
    """Count the false alarms that need no label: a trivia question may name a danger, and touches no constraint."""
    chance = random.Random(seed)
    asked = {language: chance.sample(all_, min(TRIVIA, len(all_))) for language, all_ in sorted(pool.trivia.items())}
    return {
        half: {
            "false alarms %": 100 * mean(evidence(entries[case.id], request) >= THRESHOLD for case, request in pairs)
        }
        for half in sorted({half_of(case) for case in cases})
        if (pairs := [(case, request) for case in cases if half_of(case) == half for request in asked[case.language]])
    }


def _introductions(cases: Sequence[Case], pool: Pool, seed: int) -> Figures:
    """Count how often a danger is touched by the message that tells of it, alone and with the request in it."""

    def share(half: str, control: Control) -> float:
        said = [
            write(case, pool, scenario=1, control=control, distractors=0, seed=seed).turns[0]
            for case in cases
            if half_of(case) == half
        ]
        touched: list[bool] = []
        for words in said:
            found = scan_messages([UserMessage(1, "", words)])
            if found:
                touched.append(bool(relevant(found, words)))
        return 100 * mean(touched or [0])

    return {
        half: {"stated alone, touched %": share(half, "risky"), "with the request, touched %": share(half, "first")}
        for half in sorted({half_of(case) for case in cases})
    }


def _entry(case: Case) -> SafetyConstraint:
    """Take a constraint down as the ledger would, its whole sentence being what it is about."""
    return {
        "id": case.id,
        "kind": _KINDS[case.category],
        "about": case.constraint,
        "severity": "serious",
        "subject": "user",
        "status": "active",
        "source": {"message": "", "turn": 1, "quote": case.constraint, "language": case.language, "recorded_at": 0.0},
        "first_turn": 1,
    }


def _aims(figures: Figures) -> list[Aim]:
    found = {arm: figures[arm] for arm in figures if arm.startswith("anticipate")}
    return [
        aim
        for arm, result in found.items()
        for aim in (
            Aim(f"{arm}: recall, %", result["recall %"], least=90),
            Aim(
                f"{arm}: false alarms against another category, %", result["false alarms %, another category"], most=10
            ),
        )
    ]


_KINDS: dict[Category, Kind] = {"allergy": "allergy", "phobia": "phobia", "trauma": "trauma", "physical": "physical"}
