"""`offer`: the reply of a recommendation, written by code from the items that fit."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from importlib.resources import files
from typing import NamedTuple, cast
from uuid import uuid4

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from mirror_graph.calls.model_call import context_of
from mirror_graph.guard.note import marks_of, wording_of, write_note
from mirror_graph.guard.reading import Case, ReplyReader
from mirror_graph.guard.request import read_request
from mirror_graph.guard.words import wording_for
from mirror_graph.ledger.access import ledger_for_reply
from mirror_graph.nodes.screen import check_whole
from mirror_graph.nodes.turn import begin_turn, end_turn, mark_of
from mirror_graph.prompts import one_line
from mirror_graph.relevance.choose import request_text
from mirror_graph.state import MirrorContext, SafetyConstraint
from mirror_graph.state.constraints import lethal_ids
from mirror_graph.state.offering import is_offerable, offerable
from mirror_graph.state.offers import Item, Offer, Verdict
from mirror_graph.state.recommendation import Recommended, RecommendState, RecommendUpdate
from mirror_graph.state.tokens import truncate_at_sentence
from mirror_graph.state.values import Guarded

REASON_TOKENS = 80
"""How much of a reason the reply shows."""

_WORD = re.compile(r"\w+")


async def offer(state: RecommendState, runtime: Runtime[MirrorContext]) -> RecommendUpdate:
    """Offer the first `k` items that fit, in the order in which they were proposed, and reply with them.

    The whole offer, with what was withheld, goes to the stream `custom`, and nowhere else.
    """
    check_whole(state)
    context = context_of(runtime)
    turn = begin_turn(state, context)
    constraints, _ = await ledger_for_reply(turn.thread, turn.messages, turn.number, runtime)
    request = request_text(turn.messages, turn.branch)
    language = wording_for([request], [constraint["source"]["language"] for constraint in constraints]).code
    made = make_offer(state["verdicts"], lethal_ids(constraints), state["k"], state["rounds"], language)
    # The reply notes what it offers, so that later turns do not offer it again. It does not note what was withheld:
    # later calls and the user's own client read the thread, and neither is to be shown those titles.
    noted: Recommended = {
        "items": list(map(_noted, made.items)),
        "missing": made.missing,
        "unchecked": made.unchecked,
        "rounds": made.rounds,
    }
    mark = {**mark_of(turn, "stop"), "offer": noted}
    guarded = guard_offer(made, constraints, request) if context.guard != "off" else Addition("", [])
    if guarded.marks:
        made = replace(made, text=f"{made.text}\n\n{guarded.note}")
        mark["guarded"] = guarded.marks
    reply = AIMessage(made.text, id=str(uuid4()), response_metadata={"mirror": mark})
    runtime.stream_writer({"offer": asdict(made)})
    offered: RecommendUpdate = {"items": made.items, "missing": made.missing, "unchecked": made.unchecked}
    return cast(RecommendUpdate, {**end_turn(state, turn, reply, {}, {}, runtime), **offered})


class Addition(NamedTuple):
    """What the guard adds to an offer, and its marks: both empty for an offer that is safe."""

    note: str
    marks: list[Guarded]


def guard_offer(made: Offer, constraints: Sequence[SafetyConstraint], request: str) -> Addition:
    """Read what is left of prose in an offer as the guard reads any reply, and return what has to be added to it.

    That is the reasons of what is met in person, and what code writes. A reason to watch or read something is none: it
    says what is shown, and the screening has read it as such. What the request touches needs no note, because nothing
    of it is offered.
    """
    asked = read_request(request, constraints)
    reader = ReplyReader(lambda: Case(asked, {}))
    for item in made.items:
        if item["met"] != "shown":
            reader.feed(f"{_line(item)}.\n")
    findings = reader.end(is_final=False)
    if not findings:
        return Addition("", [])
    return Addition(write_note(findings, wording_of(request, findings)), marks_of(findings, "note"))


def make_offer(verdicts: Sequence[Verdict], lethal: frozenset[str], k: int, rounds: int, language: str) -> Offer:
    """Make the offer of the first `k` items that may be offered. It is never padded."""
    chosen = offerable(verdicts, lethal)[:k]
    withheld = [verdict for verdict in verdicts if not is_offerable(verdict, lethal)]
    items: list[Item] = []
    unchecked = 0
    for verdict in chosen:
        items.append(_without_hint(verdict["item"], withheld))
        # Offered all the same, because no constraint that it may touch can kill; counted, so that the caller knows.
        unchecked += verdict["finding"] == "unknown"
    return Offer(items, k - len(items), withheld, unchecked, rounds, reply_text(items, k, language))


def reply_text(items: Sequence[Item], k: int, language: str) -> str:
    """Write the reply: a line per item, and one neutral sentence if there are fewer than were asked for."""
    sentences = _sentences()[language]
    if not items:
        return sentences["none"]
    lines = [f"{place}. {_line(item)}" for place, item in enumerate(items, 1)]
    if len(items) < k:
        lines.append(f"\n{sentences['fewer'].format(count=len(items), wanted=k)}")
    return "\n".join(lines)


def _line(item: Item) -> str:
    title = one_line(item["title"])
    named = title if item["year"] is None else f"{title} ({item['year']})"
    reason = _reason(item)
    return f"{named}: {reason}" if reason else named


def _reason(item: Item) -> str:
    return truncate_at_sentence(one_line(item.get("why", "")), REASON_TOKENS)


def _noted(item: Item) -> Item:
    """Return the fields of an item that the reply shows."""
    return {
        "title": item["title"],
        "year": item["year"],
        "about": "",
        "tags": [],
        "met": item["met"],
        "why": _reason(item),
    }


def _without_hint(item: Item, withheld: Sequence[Verdict]) -> Item:
    """Return an item without its reason, if that names something withheld: "milder than ..."."""
    reason = _words(item.get("why", ""))
    for verdict in withheld:
        # To name it is to recommend it, whatever is said of it.
        if _words(verdict["item"]["title"]) in reason:
            return {**item, "why": ""}
    return item


def _words(text: str) -> str:
    """Return the words of a text between spaces, so that a title is found in a reason only as whole words."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


@cache
def _sentences() -> Mapping[str, Mapping[str, str]]:
    sentences: Mapping[str, Mapping[str, str]] = tomllib.loads(
        files("mirror_graph.nodes").joinpath("offer.toml").read_text("utf-8")
    )
    return sentences
