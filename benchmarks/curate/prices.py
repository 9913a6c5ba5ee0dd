"""What tokens cost, from a table."""

import json
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple


class Price(NamedTuple):
    """US dollars for a million tokens; `cached` is for input that the provider had cached."""

    input: float
    cached: float
    output: float

    def of(self, input: int, cached: int, output: int) -> float:
        """Return what calls cost; `input` is without the cached."""
        return (input * self.input + cached * self.cached + output * self.output) / 1e6


def price_of(model: str, table: Path | None = None) -> Price | None:
    """Return the price of a model by the longest name in the table that it begins with, or None."""
    own = files("mirror_graph.benchmarks.curate").joinpath("prices.json")
    prices = json.loads((table or own).read_text("utf-8"))["models"]
    name = model.replace(":", "/").rpartition("/")[2].lower()
    known = sorted((it for it in prices if name.startswith(it)), key=len)
    return Price(**prices[known[-1]]) if known else None
