"""What the page shows: messages, minds and constraints as plain values that JSON can hold."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from difflib import SequenceMatcher
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from mirror_graph.host import Mind
from mirror_graph.host.reply import Reply
from mirror_graph.state import Narrative, SafetyConstraint
from mirror_graph.state.branch import turn_of

WORDS = re.compile(r"\s+|\S+\s*")
LONG_ENOUGH = 3
"""How many equal words in a row are shown as equal."""


def shown_messages(messages: Iterable[AnyMessage]) -> list[dict[str, Any]]:
    """Return what the user and MIRROR wrote, oldest first. Messages of other agents and tools are left out."""
    shown: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, HumanMessage):
            shown.append({"id": message.id, "role": "user", "text": message.text})
        elif isinstance(message, AIMessage) and turn_of(message) is not None:
            shown.append({"id": message.id, "role": "reply", **_shown_reply(Reply.of(message))})
    return shown


def shown_mind(mind: Mind) -> dict[str, Any]:
    """Return a mind without its ledger, which the page shows by itself."""
    values = asdict(mind)
    del values["constraints"]
    return values


def shown_ledger(constraints: Iterable[SafetyConstraint], editable: set[str]) -> list[dict[str, Any]]:
    """Return the constraints that hold, then those that were retracted, each with what its card says.

    `editable` are the ids of the user's own list. What no thinking pass has read yet is not in it.
    """
    shown = [_shown_constraint(entry, entry["id"] in editable) for entry in constraints]
    return sorted((entry for entry in shown if entry["status"] != "superseded"), key=_order)


def shown_history(narratives: Sequence[Narrative]) -> list[dict[str, Any]]:
    """Return the narratives, newest first, each with its difference from the one before it."""
    before = ["", *(narrative["text"] for narrative in narratives)]
    shown = [
        {"turn": narrative["turn"], "parts": difference(earlier, narrative["text"])}
        for earlier, narrative in zip(before, narratives, strict=False)
    ]
    return shown[::-1]


def difference(before: str, after: str) -> list[tuple[str, str]]:
    """Return `after` in parts, each `"same"`, `"new"`, or `"gone"` for words that only `before` had."""
    if not before:
        return [("same", after)]
    old, new = WORDS.findall(f"{before.rstrip()} "), WORDS.findall(f"{after.rstrip()} ")
    parts: list[tuple[str, str]] = []
    for from_old, to_old, from_new, to_new in _passages(old, new):
        if old[from_old:to_old] == new[from_new:to_new]:
            parts.append(("same", "".join(new[from_new:to_new])))
            continue
        if gone := "".join(old[from_old:to_old]):
            parts.append(("gone", gone))
        if added := "".join(new[from_new:to_new]):
            parts.append(("new", added))
    return parts


def _passages(old: list[str], new: list[str]) -> list[tuple[int, int, int, int]]:
    """Return the passages of two texts that belong together, by the places of their words.

    A few equal words between two changes belong to them: who reads word by word sees no sentence.
    """
    passages: list[tuple[int, int, int, int]] = []
    is_change = False
    for kind, *places in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        from_old, to_old, from_new, to_new = places
        extends = is_change and (kind != "equal" or (to_old - from_old < LONG_ENOUGH and to_old < len(old)))
        if extends:
            passages[-1] = (passages[-1][0], to_old, passages[-1][2], to_new)
        else:
            passages.append((from_old, to_old, from_new, to_new))
            is_change = kind != "equal"
    return passages


def _shown_reply(reply: Reply) -> dict[str, Any]:
    values = asdict(reply)
    places = {guarded["place"] for guarded in reply.guarded}
    # The guard writes a paragraph of its own: the first if it opens the reply, else the last.
    values["note"] = "" if not places else "first" if "opening" in places else "last"
    return values


def _shown_constraint(entry: SafetyConstraint, is_editable: bool) -> dict[str, Any]:
    names = ("id", "kind", "about", "severity", "subject", "status", "first_turn")
    shown: dict[str, Any] = {name: entry.get(name) for name in names}
    return {**shown, "source": dict(entry["source"]), "editable": is_editable}


def _order(entry: Mapping[str, Any]) -> tuple[bool, int, int, str]:
    severity = ("life-threatening", "serious", "preference").index(entry["severity"])
    return entry["status"] == "retracted", severity, entry["first_turn"], entry["id"]
