"""The report as a page of Markdown: what was run, the figures with their intervals, and what they do not say."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mirror_graph.evals.report import machine

LISTED = ("recall", "ndcg", "svr", "svr_k", "sdcg", "unsafe_list", "fill", "repeats", "unknown", "unread", "empty")
SCREENED = ("caught", "caught_described", "caught_recorded", "lost", "undecided")
TAKEN = ("calls", "input_tokens", "output_tokens", "seconds", "rounds", "failures")


def page(report: Mapping[str, Any]) -> str:
    """Return the page of a report of `scoring.run`."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    chosen = ", ".join(f"{name} {report[name]}" for name in ("model", "split", "seed", "distractors", "thinking"))
    yield "# SafeRec"
    yield ""
    yield f"{report['cases']} cases of {report['dialogues']} dialogues, {report['items']} items; {chosen}."
    yield f"**{report['caveat']}**"
    yield "Machine: " + ", ".join(f"{name} {value}" for name, value in machine().items()) + "."
    arms = report["arms"]
    for k in report["k"]:
        yield from _table(f"Lists at {k}, all forms", arms, "all", [f"{name}@{k}" for name in LISTED], intervals=True)
    for form in next(iter(arms.values())):
        yield from _table(f"Screening, {form}", arms, form, SCREENED, intervals=True)
    yield from _table("Per list", arms, "all", TAKEN, intervals=False)
    if "differences" in report:
        yield from _differences(report)
    for arm, forms in arms.items():
        yield from _by_trait(arm, forms["all"])


def _table(title: str, arms: Mapping[str, Any], form: str, names: Sequence[str], *, intervals: bool) -> Iterator[str]:
    yield from ("", f"## {title}", "", _row(["arm", "n", *names]), _row(["---"] * (len(names) + 2)))
    for arm, forms in arms.items():
        if form in forms:
            figures = forms[form]
            cells = [_cell(figures[name], figures["intervals"][name] if intervals else None) for name in names]
            yield _row([arm, str(figures["samples"]), *cells])


def _differences(report: Mapping[str, Any]) -> Iterator[str]:
    names = [f"{name}@{k}" for k in report["k"] for name in ("recall", "ndcg", "svr", "fill")]
    yield from ("", f"## Differences from `{report['baseline']}`, all forms, paired by dialogue", "")
    yield from (_row(["arm", *names]), _row(["---"] * (len(names) + 1)))
    for arm, forms in report["differences"].items():
        yield _row([arm, *(_cell(forms["all"][name]["value"], forms["all"][name]["interval"]) for name in names)])


def _by_trait(arm: str, figures: Mapping[str, Any]) -> Iterator[str]:
    names = [name for name in figures["over_traits"] if name.startswith(("recall@", "svr@", "caught", "lost"))]
    yield from ("", f"## {arm} by trait", "", _row(["trait", "n", *names]), _row(["---"] * (len(names) + 2)))
    for trait, own in figures["by_trait"].items():
        yield _row([trait, "", *(_cell(own[name], None) for name in names)])
    yield _row(["mean over traits", "", *(_cell(figures["over_traits"][name], None) for name in names)])
    yield _row(["mean over samples", str(figures["samples"]), *(_cell(figures[name], None) for name in names)])


def _cell(value: float | None, interval: Sequence[float] | None) -> str:
    shown = "-" if value is None else f"{value:.3f}"
    return shown if interval is None else f"{shown} ({interval[0]:.3f} to {interval[1]:.3f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
