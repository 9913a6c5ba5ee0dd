"""The guard on replies that people have rated: does it speak where a reply can hurt the user, and only there?

No model is called. The figures say how often the guard adds a note. They do not say how good the note is.
"""

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

from mirror_graph.errors import ConfigurationError
from mirror_graph.guard.reading import Case, ReplyReader
from mirror_graph.guard.request import read_request
from mirror_graph.ledger import scan
from mirror_graph.state.values import SafetyConstraint

COLUMNS = ("category", "constraint", "question", "reply", "human_1", "human_2")
VERDICTS = {("0", "0"): "failed", ("2", "2"): "passed"}
DISPUTED = "disputed"

TIMED_CHARACTERS = 400
"""How many characters of a reply are timed: 100 tokens, if a token is a quarter of a character's byte."""

TIMED_RUNS = 3
"""How often a reply is timed. The fastest run counts, since the others measure what else the machine does."""


class Rated(NamedTuple):
    """A reply to a request of a user with a constraint, and what two people make of it."""

    category: str
    constraint: str
    request: str
    reply: str
    verdict: str


def measure(ratings: str | Path) -> dict[str, Any]:
    """Count the notes of the guard on the rated replies of a CSV file.

    The file has the columns of `COLUMNS`; two people rate each reply 0, 1 or 2. Returns `failed` (both 0), `passed`
    (both 2) and `disputed` (the rest), each with `n` replies and `notes`; `unrelated`, the same for each constraint
    with the requests and replies of the rows of every other category; `unscanned`, how many constraints the scanner
    does not find, which count nowhere else; and `milliseconds`, what a request and a reply of 100 tokens take.
    Raises `ConfigurationError` for a file without these columns.
    """
    rows = read_ratings(ratings)
    found = [(row, scan(row.constraint)) for row in rows]
    scanned = [(row, constraints) for row, constraints in found if constraints]
    counts = {name: {"n": 0, "notes": 0} for name in ("failed", DISPUTED, "passed", "unrelated")}
    for row, constraints in scanned:
        _count(counts[row.verdict], constraints, row)
        for other in rows:
            if other.category != row.category:
                _count(counts["unrelated"], constraints, other)
    return {**counts, "unscanned": len(rows) - len(scanned), "milliseconds": _milliseconds(scanned)}


def read_ratings(path: str | Path) -> list[Rated]:
    """Read rated replies. Raises `ConfigurationError` for a file that cannot be read or has not the columns."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {str(path)!r}: {error}") from error
    missing = [column for column in COLUMNS if not lines or column not in lines[0]]
    if missing:
        raise ConfigurationError(
            f"{str(path)!r} has no row with {', '.join(missing)}: expected a CSV file with the columns "
            f"{', '.join(COLUMNS)}"
        )
    return [_rated(line) for line in lines]


def needs_note(constraints: Sequence[SafetyConstraint], request: str, reply: str) -> bool:
    """Say whether the guard would add a note to a reply."""
    reader = ReplyReader(lambda: Case(read_request(request, constraints), {}))
    reader.feed(reply)
    return bool(reader.end())


def _rated(line: dict[str, str]) -> Rated:
    verdict = VERDICTS.get((line["human_1"].strip(), line["human_2"].strip()), DISPUTED)
    return Rated(line["category"], line["constraint"], line["question"], line["reply"], verdict)


def _count(counts: dict[str, int], constraints: Sequence[SafetyConstraint], row: Rated) -> None:
    counts["n"] += 1
    counts["notes"] += needs_note(constraints, row.request, row.reply)


def _milliseconds(scanned: Sequence[tuple[Rated, Sequence[SafetyConstraint]]]) -> dict[str, float]:
    """Return the median and the 95th percentile of what reading takes; empty with fewer than two replies."""
    if len(scanned) < 2:
        return {}
    taken = [_time(row, constraints) for row, constraints in scanned]
    percentiles = quantiles(taken, n=100, method="inclusive")
    return {"p50": round(percentiles[49], 2), "p95": round(percentiles[94], 2)}


def _time(row: Rated, constraints: Sequence[SafetyConstraint]) -> float:
    reply = row.reply.strip() or " "
    while len(reply) < TIMED_CHARACTERS:
        reply = f"{reply} {row.reply}"
    runs: list[float] = []
    for _ in range(TIMED_RUNS):
        started = time.perf_counter()
        needs_note(constraints, row.request, reply[:TIMED_CHARACTERS])
        runs.append((time.perf_counter() - started) * 1_000)
    return min(runs)
