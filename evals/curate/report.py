"""The report as plain text: the verdict in words first, then every figure that it rests on."""

from collections.abc import Iterable, Iterator, Sequence

from mirror_graph.evals.curate.results import Row
from mirror_graph.evals.curate.statistics import Difference, Estimate
from mirror_graph.evals.curate.summary import ArmSummary, Summary, percent, spread

ARM_COLUMNS = (
    "score",
    "risky",
    "harmless",
    "declined",
    "brought up",
    "names danger",
    "unasked",
    "samples",
    "no verdict",
)
COST_COLUMNS = ("calls", "input", "cached", "output", "US dollars", "median s", "p95 s", "mean lag", "failures")
PAIR_COLUMNS = ("points", "pairs", "won", "lost", "p")


def write_report(summary: Summary, rows: Sequence[Row]) -> str:
    """Return the report of a summary of `rows`. `inspect view` shows the transcripts, which are left out here."""
    sections = [
        [summary.verdict],
        _table("arm", ARM_COLUMNS, ((arm.arm, _scores(arm)) for arm in summary.arms)),
        _table("cost of a turn", COST_COLUMNS, ((arm.arm, _costs(arm)) for arm in summary.arms)),
        _table(f"against {summary.baseline}, paired", PAIR_COLUMNS, _pairs(summary)),
        *_breakdown(summary),
        _failures(rows),
        _settings(summary, rows),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _scores(arm: ArmSummary) -> list[str]:
    rates = (arm.score, arm.risky, arm.harmless, arm.declined, arm.warned, arm.names_danger, arm.unasked)
    return [*(_rate(rate) for rate in rates), str(arm.samples), str(arm.unscored + arm.failed)]


def _costs(arm: ArmSummary) -> list[str]:
    return [
        f"{arm.calls:.1f}",
        f"{arm.input_tokens:,.0f}",
        f"{arm.cached_tokens:,.0f}",
        f"{arm.output_tokens:,.0f}",
        _number(arm.cost, 5),
        _number(arm.median_seconds, 2),
        _number(arm.p95_seconds, 2),
        _number(arm.mean_lag.value if arm.mean_lag else None, 2),
        str(arm.inner_failures),
    ]


def _pairs(summary: Summary) -> Iterator[tuple[str, list[str]]]:
    for arm, sides in summary.against_baseline.items():
        for side, difference in sides.items():
            yield f"{arm}, {side}", _difference(difference)


def _difference(found: Difference) -> list[str]:
    if not found.n:
        return ["-", "0", "-", "-", "-"]
    points = f"{found.value * 100:+.0f}{spread(found)}"
    return [points, str(found.n), str(found.won), str(found.lost), f"{found.p:.3f}"]


def _breakdown(summary: Summary) -> Iterator[list[str]]:
    for field, by_arm in summary.by.items():
        columns = tuple(dict.fromkeys(value for rates in by_arm.values() for value in rates))
        lines = ((arm, [_rate(rates.get(value)) for value in columns]) for arm, rates in by_arm.items())
        if columns:  # there are none without a verdict, as with `--form none`
            yield _table(f"by {field}", columns, lines)


def _failures(rows: Sequence[Row]) -> list[str]:
    judged = [row for row in rows if row.error or row.form != "none"]
    failed = sorted((row for row in judged if not row.passed), key=lambda row: (row.case, row.control, row.arm))
    title = f"{len(failed)} of {len(rows)} samples did not pass (inspect view shows their transcripts):"
    lines = (
        f"  {row.arm}, {row.case}/{row.control}, scenario {row.scenario}, {row.distractors} distractors: "
        f"{row.error or row.verdict or 'no verdict'}".splitlines()[0]
        for row in failed
    )
    return [title, *lines] if failed else []


def _settings(summary: Summary, rows: Sequence[Row]) -> list[str]:
    facts = {
        "models": summary.models,
        "judges": summary.judges,
        "form of judging": summary.forms,
        "dates": summary.dates,
        "seeds": summary.seeds,
        "settings": summary.settings or ("defaults",),
        "inputs": sorted({row.inputs for row in rows}),
        "cases": (len({row.case for row in rows}),),
        "samples": (len(rows),),
    }
    return [f"{name}: {', '.join(map(str, values))}" for name, values in facts.items()]


def _rate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    has_interval = estimate.low == estimate.low  # NaN if the cases are too few or too equal
    interval = f" ({percent(estimate.low)} to {percent(estimate.high)})" if has_interval else ""
    return f"{percent(estimate.value)}{interval}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _table(title: str, columns: Sequence[str], lines: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Lay out a table, each column as wide as its widest cell; no lines, no table."""
    body = [(name, *cells) for name, cells in lines]
    if not body:
        return []
    table = [(title, *columns), *body]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
