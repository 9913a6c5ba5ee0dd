"""Whether an item touches one of a user's constraints: by relations, in a few milliseconds, without a model call."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from mirror_graph.ledger.depictions import (
    is_by_sight,
    is_readable,
    sensitivities_named,
    topics_shown,
    touching_topics,
)
from mirror_graph.ledger.words import is_unspaced, split
from mirror_graph.relevance.exposure import can_touch
from mirror_graph.relevance.match import THRESHOLD, is_related, weigh
from mirror_graph.relevance.reading import READABLE_SHARE, Reading, read, wanted_part
from mirror_graph.relevance.relations import content, relations
from mirror_graph.state.offers import Fit, Item, Screener, Verdict
from mirror_graph.state.values import SafetyConstraint

_SEVERITIES = ("life-threatening", "serious", "preference")


class _Decision(NamedTuple):
    finding: Fit
    by: Screener


_FITS = _Decision("fits", "relations")
_UNKNOWN = _Decision("unknown", "relations")


def screen(constraints: Sequence[SafetyConstraint], item: Item) -> Verdict:
    """Decide whether an item touches any of the constraints that hold.

    The verdict names the first constraint that it touches. If it touches none, but the relations cannot decide about
    some, the verdict is "unknown" and names the most severe of those: somebody else must decide.
    """
    open_ones: list[SafetyConstraint] = []
    for constraint in constraints:
        if not _holds(constraint, item):
            continue
        decision = _decide(constraint, item)
        if decision.finding == "touches":
            return _verdict(item, decision, constraint["id"])
        if decision.finding == "unknown":
            open_ones.append(constraint)
    if open_ones:
        most_severe = min(open_ones, key=lambda constraint: _SEVERITIES.index(constraint["severity"]))
        return _verdict(item, _UNKNOWN, most_severe["id"])
    return _verdict(item, _FITS, "")


def undecided(constraints: Sequence[SafetyConstraint], item: Item) -> list[SafetyConstraint]:
    """Return the constraints of which the relations cannot tell whether an item touches them."""
    holding = [constraint for constraint in constraints if _holds(constraint, item)]
    return [constraint for constraint in holding if _decide(constraint, item).finding == "unknown"]


def _holds(constraint: SafetyConstraint, item: Item) -> bool:
    """Say whether a constraint counts for an item at all."""
    if constraint["status"] not in ("active", "provisional"):
        return False
    # A film is watched by the user. A dish or an outing may be shared with whoever the constraint is about.
    return constraint["subject"] == "user" or item["met"] != "shown"


def _decide(constraint: SafetyConstraint, item: Item) -> _Decision:
    if item["met"] == "shown":
        return _decide_shown(constraint, item)
    if not can_touch(constraint["kind"], item["met"]):
        return _FITS
    text = _text(item)
    if weigh(constraint, _reading(text)) >= THRESHOLD:
        return _Decision("touches", "relations")
    # That nothing was found means something only if the relations know the constraint, and could read a description.
    return _FITS if is_related(constraint) and _is_described(item) and _is_understood(text) else _UNKNOWN


def _decide_shown(constraint: SafetyConstraint, item: Item) -> _Decision:
    sensitivities = _sensitivities(constraint["about"], constraint["source"]["quote"])
    if not can_touch(constraint["kind"], "shown", triggered_by_sight=is_by_sight(sensitivities)):
        return _FITS
    if not sensitivities:
        # Nothing is known of the constraint: its own words are all there is to compare.
        return _Decision("touches", "relations") if _shares_words(constraint, item) else _UNKNOWN
    # What the description shows counts, and so do the tags that others gave it. Either is enough.
    touching = touching_topics(sensitivities)
    if touching & topics_shown(item["about"]):
        return _Decision("touches", "relations")
    if touching & _tagged(tuple(item["tags"])):
        return _Decision("touches", "tags")
    return _FITS if _is_described(item) and is_readable(item["about"]) else _UNKNOWN


@lru_cache(maxsize=4096)
def _sensitivities(about: str, quote: str) -> frozenset[str]:
    """Return what a constraint is about, in the words that it is named by, or else in all of the user's words."""
    return sensitivities_named(about) or sensitivities_named(quote)


@lru_cache(maxsize=4096)
def _tagged(tags: tuple[str, ...]) -> frozenset[str]:
    """Return the topics that tags speak of, or are the names of."""
    topics: set[str] = set()
    for tag in tags:
        topics.add(tag.strip().lower().replace(" ", "-"))
        topics |= topics_shown(tag.replace("-", " "))
    return frozenset(topics)


def _shares_words(constraint: SafetyConstraint, item: Item) -> bool:
    own = set(content(constraint["about"]) or content(constraint["source"]["quote"]))
    return not own.isdisjoint(content(wanted_part(_text(item))))


def _text(item: Item) -> str:
    return "\n".join([item["title"], item["about"], *item["tags"]])


@lru_cache(maxsize=256)
def _reading(text: str) -> Reading:
    """Read the description of an item once, for all constraints."""
    return read(text)


@lru_cache(maxsize=256)
def _is_understood(text: str) -> bool:
    """Say whether the relations can read a description. A menu has few common words, but dishes that they know."""
    reading = _reading(text)
    if reading.is_readable:
        return True
    words = split(text)
    if any(map(is_unspaced, words)):
        return False
    common = relations().common
    known = sum(word in common for word in words) + len(reading.phrases)
    return known >= READABLE_SHARE * len(words)


def _is_described(item: Item) -> bool:
    return bool(item["about"] or item["tags"])


def _verdict(item: Item, decision: _Decision, constraint: str) -> Verdict:
    return {"item": item, "finding": decision.finding, "constraint": constraint, "by": decision.by}
