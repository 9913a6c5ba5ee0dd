"""Actions are held, too: a tool call is read against the user's constraints before the tool runs."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple, get_args

from langchain_core.messages import ToolMessage
from langchain_core.messages.tool import ToolCall
from langchain_core.tools import BaseTool

from mirror_graph.agents.record import AgentRecord
from mirror_graph.guard.reading import Finding, findings_before
from mirror_graph.guard.request import read_request, without_known
from mirror_graph.guard.touching import explained
from mirror_graph.guard.words import words
from mirror_graph.ledger.words import split, stem
from mirror_graph.prompts import quoted, render
from mirror_graph.relevance.exposure import can_touch
from mirror_graph.relevance.subject import is_for_another_only
from mirror_graph.relevance.triggers import triggers_of
from mirror_graph.state import SafetyConstraint

OnAction = Literal["refuse", "interrupt", "allow"]

Outcome = Literal["refused", "approved", "allowed"]
"""What became of a call that touches a constraint: the tool did not run, or it did, with the user's word or without."""

Way = Literal["acts", "shows", "spares", "reads"]

WAYS: tuple[Way, ...] = get_args(Way)

_SENTENCE = re.compile(r"[^.!?;\n]+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class Held(NamedTuple):
    """A tool call that touches severe constraints, and what of it touches each."""

    call: ToolCall
    findings: Sequence[Finding]

    @property
    def ids(self) -> list[str]:
        """The ids of the constraints."""
        return [finding.constraint["id"] for finding in self.findings]

    @property
    def quotes(self) -> list[str]:
        """The user's own words about them."""
        return [finding.constraint["source"]["quote"] for finding in self.findings]

    @property
    def touched_by(self) -> list[str]:
        """The words of the call that touch them."""
        found = [word for finding in self.findings for word in explained(finding.constraint, finding.touch).words]
        return list(dict.fromkeys(found))


def hold(call: ToolCall, tool: BaseTool | None, record: AgentRecord) -> Held | None:
    """Return the call with what it touches, or None if it may run.

    A call is held if it acts on the user, and what it names touches a severe constraint of theirs. It may run if it
    only looks something up, if its arguments only report the condition ("no peanuts, allergy"), if it concerns another
    person only, or if the user has just stated that they know.
    """
    way = way_of(call, tool)
    if way in ("spares", "reads") or is_for_another_only(record["request"]):
        return None
    constraints = without_known(record["request"], record["constraints"])
    if not constraints:
        return None
    values = list(_values(call["args"]))
    named = read_request(_text(call, values), constraints)
    findings = [
        finding
        for found in findings_before(named, {})
        if way == "acts" or _can_be_shown(found.constraint)
        for finding in findings_before(read_request(_text(call, values, found.constraint), [found.constraint]), {})
    ]
    return Held(call, findings) if findings else None


def way_of(call: ToolCall, tool: BaseTool | None) -> Way:
    """Say how a call meets the user: it does something, shows something, spares them something, or looks something up.

    A tool says so itself with `metadata={"readOnlyHint": ...}`, as tools of an MCP server do; else its name decides.
    """
    declared = (tool.metadata or {}).get("readOnlyHint") if tool is not None else None
    if isinstance(declared, bool):
        return "reads" if declared else "acts"
    named = set(_words_in(call["name"]))
    for way in WAYS:
        if not named.isdisjoint(_verbs()[way]):
            return way
    return "acts"


def refusal(held: Held) -> ToolMessage:
    """Return what the model gets instead of a result: why the call was not made, as data."""
    quotes = ", ".join(quoted(quote) for quote in held.quotes)
    touched = ", ".join(quoted(word) for word in held.touched_by) or quoted(held.call["name"])
    return ToolMessage(
        render("held_action", quotes=quotes, touched=touched),
        tool_call_id=held.call["id"] or "",
        name=held.call["name"],
        status="error",
        response_metadata=mark(held, "refused"),
    )


def mark(held: Held, outcome: Outcome) -> dict[str, Any]:
    """Return what the tool's message notes about a held call: what became of it, and the constraints' ids."""
    return {"mirror": {"action": outcome, "constraints": held.ids}}


def question(held: Held) -> dict[str, Any]:
    """Return what a host asks its user about a held call. `True` or `"approve"` as the answer lets it run."""
    return {
        "type": "mirror_action",
        "tool": held.call["name"],
        "args": held.call["args"],
        "constraints": held.ids,
        "they_said": held.quotes,
        "touched_by": held.touched_by,
    }


def is_approval(answer: Any) -> bool:
    """Say whether the answer to an interrupt approves of the call. Anything unclear does not."""
    if isinstance(answer, Mapping):
        answer = answer.get("decision", answer.get("type"))
    return answer is True or answer in ("approve", "accept")


def _name_of(call: ToolCall) -> str:
    return " ".join(_words_in(call["name"]))


def _words_in(name: str) -> list[str]:
    """Return the words of a name in code: `orderFood`, `order_food`."""
    return [word.lower() for word in _WORD.findall(name)]


def _values(args: Any) -> Iterator[str]:
    """Return the texts among a call's arguments, however deep they stand, without what is to be spared."""
    if isinstance(args, str):
        yield args
    elif isinstance(args, Mapping):
        for name, value in args.items():
            if _verbs()["spares"].isdisjoint(_words_in(str(name))):
                yield from _values(value)
    elif isinstance(args, list | tuple):
        for value in args:
            yield from _values(value)


def _text(call: ToolCall, values: Sequence[str], reported: SafetyConstraint | None = None) -> str:
    """Return a call as a text to be read: its name, then its arguments.

    Where a sentence of them speaks of the condition of `reported`, the constraint's own words only report it, and are
    left out. What else is named in that sentence stays: satay is no safer for being ordered with the allergy.
    """
    sentences = [sentence for value in values for sentence in _SENTENCE.findall(value)]
    if reported is not None:
        sentences = [_without_report(sentence, reported) for sentence in sentences]
    return ". ".join([_name_of(call), *sentences])


def _without_report(sentence: str, constraint: SafetyConstraint) -> str:
    if not words().conditions[constraint["kind"]].is_in(split(sentence)):
        return sentence
    own = triggers_of(constraint)
    left = " ".join(word for word in split(sentence) if stem(word) not in own.words)
    for term in own.terms:
        left = left.replace(term, " ")
    return left


def _can_be_shown(constraint: SafetyConstraint) -> bool:
    by_sight = triggers_of(constraint).by_sight
    return can_touch(constraint["kind"], "shown", triggered_by_sight=by_sight)


@cache
def _verbs() -> Mapping[str, frozenset[str]]:
    tables = tomllib.loads(files("mirror_graph.agents").joinpath("actions.toml").read_text("utf-8"))
    return {name: frozenset(word.strip() for word in listed.split(",")) for name, listed in tables.items()}
