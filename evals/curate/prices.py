"""What tokens cost, from a table."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from mirror_graph.errors import ConfigurationError


class Price(NamedTuple):
    """US dollars for a million tokens; `cached` is for input that the provider had cached."""

    input: float
    cached: float
    output: float

    def of(self, input: int, cached: int, output: int) -> float:
        """Return what calls cost; `input` is without the cached."""
        return (input * self.input + cached * self.cached + output * self.output) / 1e6


def price_of(model: str, table: Path | None = None) -> Price | None:
    """Return the price of a model by its name in the table, with or without a date behind it, or None.

    Raises `ConfigurationError` for a table of another form.
    """
    own = files("mirror_graph.evals.curate").joinpath("prices.json")
    try:
        prices = {
            name: Price(**price) for name, price in json.loads((table or own).read_text("utf-8"))["models"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        expected = '{"models": {NAME: {"input": 0.0, "cached": 0.0, "output": 0.0}}}'
        raise ConfigurationError(f"no prices in {str(table)!r}: expected {expected}") from error
    name = re.sub(r"^(openai|local):", "", model).rpartition("/")[2].lower()
    return prices.get(name) or prices.get(re.sub(r"-\d[\d-]*$", "", name))
