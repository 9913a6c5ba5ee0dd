"""Titles: one spelling for comparing them, how a model's list is read, and which item of a catalogue a line names."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mirror_graph.state.titles import key

__all__ = ["YEARS_APART", "Index", "key", "parse"]

YEARS_APART = 2
"""A year in a list may differ from the catalogue's by this much: festivals and countries release at different times."""

_SOLUTION = re.compile(r"<solution>(.*?)(?:</solution>|\Z)", re.DOTALL | re.IGNORECASE)
_BULLET = re.compile(r"^(?:[-*+\u2022\u00b7\u2013\u2014]|>)\s+")
_NUMBER = re.compile(r"^[*_#\s]{0,3}(?:\d{1,3}[.):]|[(\[]\d\d?[)\]])[*_]{0,2}\s+(?=\S)")
_YEAR = re.compile(r"[(\[](?P<year>(?:18|19|20)\d\d)(?:\s*[-\u2013\u2014]\s*(?:\d{2,4})?)?[)\]]")
_OPENING = '*_`"\u201c\u201e\u00ab\u300c '
_CLOSING = '*_`"\u201d\u201c\u00bb\u300d ,:'
_PAIRS = (("'", "'"), ("\u2018", "\u2019"))


def parse(text: str) -> list[tuple[str, int | None]]:
    """Read a model's list, one item per line, as titles and years.

    Numbers, bullets, bold and quotation marks go, and so does whatever follows the year. If the text has a
    `<solution>`, only what is inside is read. A line without a year in brackets is returned whole, with None:
    `metrics.measure` decides whether it names something.
    """
    solution = _SOLUTION.search(text)
    lines = (solution[1] if solution else text).splitlines()
    return [item for item in map(_read_line, lines) if item[0]]


class Index:
    """The items of a catalogue by title. Rows of one key and year are one item: the first stands for all of them."""

    def __init__(self, catalogue: Sequence[Mapping[str, Any]]) -> None:
        self._places: defaultdict[str, dict[int | None, int]] = defaultdict(dict)
        for place, row in enumerate(catalogue):
            self._places[key(row["title"])].setdefault(row["year"], place)

    def find(self, title: str, year: int | None) -> int | None:
        """Return the place in the catalogue of the item that a title and year name, or None if they name no item.

        The year may be off by `YEARS_APART`. The nearest year counts, and the earlier one of two that are equally near.
        Without a year, the title must belong to exactly one item.
        """
        by_year = self._places.get(key(title), {})
        if year is None:
            return next(iter(by_year.values())) if len(by_year) == 1 else None
        near = [known for known in by_year if known is not None and abs(known - year) <= YEARS_APART]
        return by_year[min(near, key=lambda known: (abs(known - year), known))] if near else None

    def is_title(self, title: str) -> bool:
        """Say whether any item bears this title."""
        return key(title) in self._places


def _read_line(line: str) -> tuple[str, int | None]:
    line = _BULLET.sub("", line.strip())
    line = _NUMBER.sub("", line).strip()
    # A year that opens the line is the title: "(1984)" alone names nothing, and "2012 (2009)" is a film.
    year = next((found for found in _YEAR.finditer(line) if _bare(line[: found.start()])), None)
    if year is None:
        return _bare(line), None
    return _bare(line[: year.start()]), int(year["year"])


def _bare(title: str) -> str:
    """Take emphasis and quotation marks off a title."""
    title = title.strip().lstrip(_OPENING).rstrip(_CLOSING)
    for opening, closing in _PAIRS:
        if len(title) > 2 and title.startswith(opening) and title.endswith(closing):
            title = title[1:-1].strip()
    return title
