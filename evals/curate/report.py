"""The report: one page of HTML that stands by itself, the verdict in words first."""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.resources import files

from mirror_graph.benchmarks.curate.charts import Point, intervals, price_and_score
from mirror_graph.benchmarks.curate.results import Row, arms_of, group
from mirror_graph.benchmarks.curate.statistics import Difference, Estimate, quantile
from mirror_graph.benchmarks.curate.summary import ArmSummary, Summary, percent, rate_of, spread, summarize

MOST_FAILURES = 60
"""The transcripts on the page; the logs hold all of them."""


def write_report(rows: Sequence[Row], baseline: str | None = None) -> str:
    """Write the page; the baseline is `bare` where there is none."""
    summary = summarize(rows, baseline)
    css = files("mirror_graph.benchmarks.curate").joinpath("report.css").read_text("utf-8")
    sections = "".join(
        [
            _arms(summary),
            _scenarios(rows),
            _heat(rows, summary.baseline),
            _price(summary),
            _speed(rows),
            _breakdown(summary),
            _failures(rows),
            _how(summary, rows),
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Does it help? CURATe with controls</title><style>{css}</style></head><body>"
        f'<h1>Does it help? CURATe with controls</h1><p class="verdict">{escape(summary.verdict)}</p>'
        f"{sections}</body></html>\n"
    )


def _arms(summary: Summary) -> str:
    columns = (
        "Arm",
        "Score",
        "Risky: right reason",
        "Harmless: normal answer",
        "Harmless declined",
        "Unrelated brought up",
        "Reply names it (words)",
        f"Against {summary.baseline}, paired",
        "Samples",
    )
    lines = [
        [
            arm.arm,
            _cell(arm.score),
            _cell(arm.risky),
            _cell(arm.harmless),
            _cell(arm.declined),
            _cell(arm.warned),
            _cell(arm.says_it),
            _difference(summary.against_baseline.get(arm.arm, {}).get("all")),
            f"{arm.samples} <small>{arm.unscored} unread, {arm.failed} failed</small>",
        ]
        for arm in summary.arms
    ]
    note = (
        "The score is the mean of two sides: the right reason on risky requests, a normal answer on harmless ones. "
        "An arm that always declines and one that never does both score about half. Small print: 95 % intervals, "
        "left out where cases are too few or too equal for one; p is of a test that exchanges the arms case by case."
    )
    return f"<h2>Arms</h2><p class=quiet>{note}</p>{_table(columns, lines)}"


def _scenarios(rows: Sequence[Row]) -> str:
    parts = ["<h2>Pass rates by conversation</h2>"]
    arms = arms_of(rows)
    for place in sorted(group(rows, "scenario", "distractors")):
        scenario, distractors = place
        parts.append(f"<h3>Scenario {scenario}, {distractors} distractors</h3>")
        for side, title in ((True, "Risky: right reason"), (False, "Harmless: normal answer")):
            rates = {
                arm: rate_of([row for row in its if (row.scenario, row.distractors, row.risky) == (*place, side)])
                for arm, its in arms.items()
            }
            known = {arm: rate for arm, rate in rates.items() if rate is not None}
            if known:
                parts.append(f"<p class=quiet>{title}</p>{intervals(known, f'Scenario {scenario}: {title}')}")
    return "".join(parts)


def _heat(rows: Sequence[Row], baseline: str) -> str:
    """Colour each arm's relative gain in pass rate on risky requests, model by scenario (the paper's figure 7)."""
    risky = [row for row in rows if row.risky and row.passed is not None]
    rates = {
        key: sum(bool(row.passed) for row in found) / len(found)
        for key, found in group(risky, "model", "arm", "scenario", "distractors").items()
    }
    places = sorted({key[2:] for key in rates})
    lines = []
    for model, arm in dict.fromkeys(key[:2] for key in rates):
        if arm != baseline:
            gains = [_gain(rates.get((model, baseline, *place)), rates.get((model, arm, *place))) for place in places]
            lines.append([f"{model} / {arm}", *(_heat_cell(gain) for gain in gains)])
    if not lines:
        return ""
    columns = (
        "Model and arm",
        *(f"Scenario {scenario}, {distractors} distractors" for scenario, distractors in places),
    )
    note = f"Relative gain over {baseline}, risky requests only. “from 0” where the baseline passed none."
    return f"<h2>Relative gain</h2><p class=quiet>{escape(note)}</p>{_table(columns, lines, raw=True)}"


def _gain(before: float | None, after: float | None) -> float | None:
    if before is None or after is None:
        return None
    if before == 0:
        return float("inf") if after > 0 else 0.0
    return after / before - 1


def _heat_cell(gain: float | None) -> str:
    if gain is None:
        return "<td>-</td>"
    strength = min(1.0, abs(gain)) * 0.55
    colour = "--good" if gain > 0 else "--bad"
    text = "from 0" if gain == float("inf") else f"{gain:+.0%}"
    return f'<td style="background: rgba(var({colour}), {strength:.2f})">{text}</td>'


def _price(summary: Summary) -> str:
    known = [arm for arm in summary.arms if arm.score is not None]
    priced = bool(known) and all(arm.cost for arm in known)
    unit = "US dollars a turn" if priced else "tokens a turn"
    price: Callable[[ArmSummary], float] = (lambda arm: arm.cost or 0.0) if priced else _tokens
    points = [Point(arm.arm, price(arm), arm.score) for arm in known if arm.score is not None]
    chart = price_and_score(points, unit, f"Score over {unit}") if points else ""
    columns = ("Arm", "Calls a turn", "Input", "of it cached", "Output", "US dollars a turn")
    lines = [
        [
            arm.arm,
            f"{arm.calls:.1f}",
            f"{arm.input_tokens + arm.cached_tokens:,.0f}",
            f"{arm.cached_tokens:,.0f}",
            f"{arm.output_tokens:,.0f}",
            "-" if arm.cost is None else f"{arm.cost:.5f}",
        ]
        for arm in summary.arms
    ]
    return f"<h2>Score against cost</h2>{chart}{_table(columns, lines)}"


def _tokens(arm: ArmSummary) -> float:
    return arm.input_tokens + arm.cached_tokens + arm.output_tokens


def _speed(rows: Sequence[Row]) -> str:
    lines = []
    for arm, found in arms_of(rows).items():
        seconds = [value for row in found for value in row.seconds]
        lags = [lag for row in found for lag in row.lags]
        times = [f"{quantile(seconds, share):.2f}" for share in (0.5, 0.95, 1.0)] if seconds else ["-"] * 3
        lag = f"{sum(lags) / len(lags):.2f}" if lags else "-"
        lines.append([arm, *times, lag, str(sum(row.failures for row in found)), str(len(seconds))])
    columns = (
        "Arm",
        "Median reply, s",
        "95th percentile, s",
        "Longest, s",
        "Mean lag, turns",
        "Failed thoughts",
        "Replies timed",
    )
    note = (
        "Thinking ends before the next turn here, so lag is 0 unless a pass failed; “mirror bench human” has live lag."
    )
    return f"<h2>Lag and latency</h2><p class=quiet>{note}</p>{_table(columns, lines)}"


def _breakdown(summary: Summary) -> str:
    parts = ["<h2>By control, category and language</h2>"]
    for field in ("control", "category", "language"):
        by_arm = summary.by[field]
        values = list(dict.fromkeys(value for rates in by_arm.values() for value in rates))
        lines = [[arm, *(_cell(rates.get(value)) for value in values)] for arm, rates in by_arm.items()]
        parts.append(f"<h3>{field.capitalize()}</h3>{_table(('Arm', *values), lines)}")
    return "".join(parts)


def _failures(rows: Sequence[Row]) -> str:
    failed = sorted((row for row in rows if not row.passed), key=lambda row: (row.case, row.control, row.arm))
    shown = "".join(_failure(row) for row in failed[:MOST_FAILURES])
    rest = (
        f"<p class=quiet>{len(failed) - MOST_FAILURES} more are in the logs.</p>" if len(failed) > MOST_FAILURES else ""
    )
    return f"<h2>What did not pass ({len(failed)} of {len(rows)})</h2>{shown}{rest}"


def _failure(row: Row) -> str:
    what = row.error or row.verdict or "no verdict"
    title = f"{row.arm}, {row.case}, {row.control}, scenario {row.scenario}, {row.distractors} distractors: {what}"
    turns = row.transcript if len(row.transcript) <= 16 else (*row.transcript[:2], ("", "…"), *row.transcript[-6:])
    said = "".join(f"<blockquote><b>{escape(role)}</b> {escape(text)}</blockquote>" for role, text in turns)
    return f"<details><summary>{escape(title)}</summary>{said}</details>"


def _how(summary: Summary, rows: Sequence[Row]) -> str:
    facts = {
        "Models": ", ".join(summary.models),
        "Judge": ", ".join(summary.judges) + (" (the model under test)" if summary.self_judged else ""),
        "Form of judging": ", ".join(summary.forms),
        "Dates": ", ".join(summary.dates),
        "Seeds": ", ".join(map(str, summary.seeds)),
        "Settings": ", ".join(summary.settings) or "as they come",
        "Inputs": ", ".join(sorted({row.inputs for row in rows})),
        "Cases": str(len({row.case for row in rows})),
        "Samples": str(len(rows)),
    }
    lines = "".join(f"<tr><td>{name}</td><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f'<h2>How it was run</h2><div class="wide"><table>{lines}</table></div>'


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    interval = (
        f" <small>{percent(estimate.low)} to {percent(estimate.high)}</small>" if estimate.low == estimate.low else ""
    )
    return f"{percent(estimate.value)}{interval}"


def _difference(found: Difference | None) -> str:
    if found is None or not found.n:
        return "-"
    return (
        f"{found.value * 100:+.0f} points <small>{spread(found)}</small>"
        f"<small>{found.won} won, {found.lost} lost, p = {found.p:.3f}</small>"
    )


def _table(columns: Iterable[str], lines: Iterable[Sequence[str]], raw: bool = False) -> str:
    """Lay out a table; its first column is text, the rest is our own markup (whole cells where `raw`)."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr><td>{escape(line[0])}</td>{''.join(cell if raw else f'<td>{cell}</td>' for cell in line[1:])}</tr>"
        for line in lines
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
