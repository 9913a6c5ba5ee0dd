"""Patterns of how people ask (`wording.toml`), compiled on first use."""

import re
import tomllib
from functools import cache
from importlib.resources import files

_PLACE = re.compile("<<([a-z_]+)>>")


@cache
def pattern(name: str) -> re.Pattern[str]:
    """Compile the pattern of that name."""
    return re.compile(_filled(name), re.IGNORECASE | re.VERBOSE)


@cache
def persons() -> tuple[str, ...]:
    """Return the alternatives of each group of words that may stand for the same person."""
    return tuple(_wording()["persons"])


def compile_patterns() -> None:
    """Compile all patterns, which takes a moment, before the first message does."""
    for name in _wording():
        if name != "persons":
            pattern(name)


@cache
def _wording() -> dict[str, str]:
    return tomllib.loads(files("mirror_graph.relevance").joinpath("wording.toml").read_text("utf-8"))


def _filled(name: str) -> str:
    """Put the patterns that a pattern names into it."""
    if name == "persons":
        return "|".join(persons())
    return _PLACE.sub(lambda place: _filled(place[1]), _wording()[name])
