"""Charts as inline SVG: no script, no network, legible in print."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from mirror_graph.benchmarks.curate.statistics import Estimate

LABEL, PLOT, LINE = 110, 260, 24


class Point(NamedTuple):
    """An arm on the plane of price and score."""

    name: str
    price: float
    score: Estimate


def intervals(rates: Mapping[str, Estimate], title: str) -> str:
    """Draw a rate and its interval a line, from 0 to 100 %."""
    height = LINE * len(rates) + 34
    parts = [_axis(height)]
    for place, (name, rate) in enumerate(rates.items()):
        y = place * LINE + 18
        low, value, high = (LABEL + share * PLOT for share in (rate.low, rate.value, rate.high))
        parts.append(
            f'<text x="{LABEL - 8}" y="{y + 4}" text-anchor="end">{escape(name)}</text>'
            f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" class="whisker"/>'
            f'<circle cx="{value:.1f}" cy="{y}" r="5" class="dot"/>'
            f'<text x="{LABEL + PLOT + 10}" y="{y + 4}">{rate.value:.0%} <tspan class="quiet">n={rate.n}</tspan></text>'
        )
    return _svg(LABEL + PLOT + 90, height, title, "".join(parts))


def price_and_score(points: Sequence[Point], unit: str, title: str) -> str:
    """Draw each arm's score over its price."""
    most = max((point.price for point in points), default=0) or 1
    width, height, left, bottom = 480, 320, 50, 270
    parts = [
        f'<line x1="{left}" y1="{y}" x2="{width - 20}" y2="{y}" class="grid"/>'
        f'<text x="{left - 8}" y="{y + 4}" text-anchor="end" class="quiet">{share}%</text>'
        for share, y in ((share, bottom - share * 12 // 5) for share in (0, 25, 50, 75, 100))
    ]
    for place, point in enumerate(sorted(points, key=lambda it: it.price)):
        x = left + point.price / most * (width - left - 120)
        y, low, high = (bottom - share * 240 for share in (point.score.value, point.score.low, point.score.high))
        bar = f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" class="whisker"/>' if low == low else ""
        parts.append(
            f'{bar}<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="dot"/>'
            f'<text x="{x + 9:.1f}" y="{y + (-8 if place % 2 else 16):.1f}">{escape(point.name)}</text>'
        )
    parts.append(f'<text x="{left}" y="{height - 12}" class="quiet">0</text>')
    until = f"{escape(unit)}, up to {most:,.6g}"
    parts.append(f'<text x="{width - 20}" y="{height - 12}" text-anchor="end" class="quiet">{until}</text>')
    return _svg(width, height, title, "".join(parts))


def _axis(height: int) -> str:
    lines = (
        f'<line x1="{LABEL + share * PLOT}" y1="6" x2="{LABEL + share * PLOT}" y2="{height - 20}" class="grid"/>'
        f'<text x="{LABEL + share * PLOT}" y="{height - 6}" text-anchor="middle" class="quiet">{share:.0%}</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    return "".join(lines)


def _svg(width: int, height: int, title: str, content: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" style="max-width:{width}px">'
        f"<title>{escape(title)}</title>{content}</svg>"
    )
