"""The values of a recommendation: items, the verdict of a screening, and what the user is offered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, cast, get_args

from typing_extensions import TypedDict, TypeIs

from mirror_graph.errors import MirrorError

Met = Literal["shown", "eaten", "taken", "done"]
"""How an item is met: a film, book or game is shown; a dish is eaten; a medicine is taken; an outing is done."""

Fit = Literal["fits", "touches", "unknown"]
Screener = Literal["relations", "tags", "model"]

MOST_ITEMS = 50
"""The longest list that can be asked for."""

TITLE_LIMIT = 300
ABOUT_LIMIT = 4_000
TAG_LIMIT = 100
MOST_TAGS = 64


class Item(TypedDict):
    """Something that can be recommended.

    `about` is what is publicly known of it, in prose, and `tags` is the same in single words or phrases. Both may be
    empty. `why` is the proposer's reason for recommending it.
    """

    title: str
    year: int | None
    about: str
    tags: list[str]
    met: Met
    why: NotRequired[str]


class Verdict(TypedDict):
    """What a screening found out about one item.

    `constraint` is the id of the constraint that the item touches, or that could not be decided, and "" if it fits.
    `by` says who decided.
    """

    item: Item
    finding: Fit
    constraint: str
    by: Screener


@dataclass(frozen=True)
class Offer:
    """What a user is offered.

    `items` fit every constraint, or are counted in `unchecked`. `missing` is how many items fewer there are than were
    asked for. `withheld` are the verdicts on the items that were not offered. `rounds` is how often items were
    proposed. `text` is the reply that the user reads.
    """

    items: list[Item]
    missing: int
    withheld: list[Verdict]
    unchecked: int
    rounds: int
    text: str = ""


ItemSource = Callable[[str, int, list[str]], object]
"""Proposes items: a function of the request, how many are wanted, and the titles to leave out.

It returns a list of items, or awaits one. Both may have more or fewer items than are wanted.
"""


class InvalidItemError(MirrorError, ValueError):
    """An item, or the number of items asked for, is not what was expected; the text says what is."""


def check_count(k: object) -> int:
    """Return how many items are asked for, or raise `InvalidItemError` unless it is a whole number from 1 to 50."""
    if not _is_whole(k) or not 1 <= k <= MOST_ITEMS:
        raise InvalidItemError(f"k is {k!r}: expected a whole number of items from 1 to {MOST_ITEMS}")
    return k


def check_item(item: object) -> Item:
    """Return a new `Item` with the fields of a mapping, or raise `InvalidItemError`.

    Only `title` and `met` are required. Texts that are too long are cut; fields that are not an item's are dropped.
    """
    if not isinstance(item, Mapping):
        raise InvalidItemError(f"item {item!r}: expected a mapping with at least 'title' and 'met'")
    title = item.get("title")
    if not isinstance(title, str) or not title.strip():
        raise InvalidItemError(f"item {_shortened(item)} has no title: expected 'title' with some text")
    met = item.get("met")
    if met not in get_args(Met):
        raise InvalidItemError(f"item {title!r} has met={met!r}: expected one of {', '.join(get_args(Met))}")
    year = item.get("year")
    if year is not None and not _is_whole(year):
        raise InvalidItemError(f"item {title!r} has year={year!r}: expected a whole number or None")
    checked: Item = {
        "title": title.strip()[:TITLE_LIMIT],
        "year": year,
        "about": _text(item, "about", title)[:ABOUT_LIMIT],
        "tags": _tags(item, title),
        "met": cast(Met, met),
    }
    if "why" in item:
        checked["why"] = _text(item, "why", title)[:ABOUT_LIMIT]
    return checked


def _text(item: Mapping[Any, Any], field: str, title: str) -> str:
    text = item.get(field) or ""
    if not isinstance(text, str):
        raise InvalidItemError(f"item {title!r} has {field}={text!r}: expected text")
    return text.strip()


def _tags(item: Mapping[Any, Any], title: str) -> list[str]:
    tags = item.get("tags") or []
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidItemError(f"item {title!r} has tags={tags!r}: expected a list of texts")
    return [tag.strip()[:TAG_LIMIT] for tag in tags if tag.strip()][:MOST_TAGS]


def _is_whole(number: object) -> TypeIs[int]:
    return isinstance(number, int) and not isinstance(number, bool)


def _shortened(item: Mapping[Any, Any]) -> str:
    text = repr(dict(item))
    return text if len(text) <= TITLE_LIMIT else f"{text[:TITLE_LIMIT]}..."
