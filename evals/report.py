"""What a benchmark found: figures by arm, with the aims, the sizes and the machine."""

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

Figures = Mapping[str, Mapping[str, float]]
"""Figures by arm: `{"bare": {"first token p50, ms": 101.2}, ...}`."""

PACKAGES = ("mirror-graph", "langgraph", "langgraph-checkpoint-sqlite", "langchain-core", "langchain-openai", "openai")

PERCENTILES = {"p50": 50, "p95": 95}


@dataclass(frozen=True)
class Aim:
    """A figure that was promised: `most` so much, or `least`."""

    what: str
    found: float
    most: float | None = None
    least: float | None = None

    @property
    def met(self) -> bool:
        """Whether the figure keeps the promise."""
        return (self.most is None or self.found <= self.most) and (self.least is None or self.found >= self.least)


@dataclass(frozen=True)
class Report:
    """Tables of figures by title, what was aimed at, and what a reader must know to judge them."""

    tables: Mapping[str, Figures]
    aims: Sequence[Aim] = ()
    notes: Sequence[str] = ()


def machine() -> dict[str, Any]:
    """Describe where the figures come from, and how busy it is."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory GiB": round(psutil.virtual_memory().total / 2**30, 1),  # type: ignore[no-untyped-call]  # psutil has no types
        "load average": [round(load, 2) for load in psutil.getloadavg()],
    }


def publish(name: str, sizes: Mapping[str, Any], measure: Callable[[], Report], out: Path | None) -> None:
    """Measure, print the report and, with `out`, write it there as JSON. `sizes` is what `measure` was called with."""
    before = machine()
    report = measure()
    show(report)
    if out is not None:
        write(out, name, sizes, before, report)


def write(path: Path, name: str, sizes: Mapping[str, Any], before: Mapping[str, Any], report: Report) -> None:
    """Write a report as JSON; `before` is the machine as the run found it."""
    whole = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**before, "load average after": machine()["load average"]},
        "versions": {package: version(package) for package in PACKAGES},
        "sizes": sizes,
        "seed": sizes["seed"],
        "figures": report.tables,
        "aims": [{**asdict(aim), "met": aim.met} for aim in report.aims],
        "notes": report.notes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def show(report: Report) -> None:
    """Print a report: its tables, then what was aimed at, then its notes."""
    console = Console(highlight=False)
    for title, figures in report.tables.items():
        names = list(dict.fromkeys(name for arm in figures.values() for name in arm))
        table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim")
        table.add_column(no_wrap=True)
        for name in names:
            table.add_column(name, justify="right", vertical="bottom", overflow="fold")
        for arm, found in figures.items():
            table.add_row(arm, *(_number(found[name]) if name in found else "" for name in names))
        console.print(table)
        console.print()
    for aim in report.aims:
        mark = "[green]✓[/]" if aim.met else "[red]✗[/]"
        bound = f"at most {_number(aim.most)}" if aim.most is not None else f"at least {_number(aim.least or 0)}"
        console.print(f"{mark} {aim.what}: {_number(aim.found)} (aim: {bound})")
    for note in report.notes:
        console.print(f"[dim]{note}[/]")


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` percent of `values` do not exceed."""
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def spread(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Return the median and the 95th percentile of times as figures, in milliseconds."""
    return {f"{name} {label}, ms": percentile(seconds, percent) * 1_000 for label, percent in PERCENTILES.items()}


def _number(value: float) -> str:
    if abs(value) < 0.001 or value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"
