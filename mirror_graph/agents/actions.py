"""Actions are held, too: a tool call is read against the user's constraints before the tool runs."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from langchain_core.messages import ToolMessage
from langchain_core.messages.tool import ToolCall
from langchain_core.tools import BaseTool

from mirror_graph.agents.record import AgentRecord
from mirror_graph.guard.awareness import is_aware, read_sentence
from mirror_graph.guard.reading import Finding, findings_before
from mirror_graph.guard.request import read_request
from mirror_graph.guard.touching import explained
from mirror_graph.guard.words import words
from mirror_graph.prompts import quoted, render
from mirror_graph.relevance.spelling import split

OnAction = Literal["refuse", "interrupt", "allow"]

Outcome = Literal["refused", "approved", "allowed"]
"""What became of a call that touches a constraint: the tool did not run, or it did, with the user's word or without."""

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
    only looks something up, if its arguments take the condition into account ("no peanuts, allergy"), if it concerns
    another person only, or if the user has just said that they know.
    """
    if not record["constraints"] or not acts(call, tool) or words().knows.is_in(split(record["request"])):
        return None
    spoken = list(_values(call["args"]))
    text = ". ".join([_name_of(call), *spoken])
    request = read_request(text, record["constraints"])
    sentences = [read_sentence(value, request, is_first=False) for value in spoken]
    findings = [found for found in findings_before(request, {}) if not is_aware(found.constraint, sentences)]
    return Held(call, findings) if findings else None


def acts(call: ToolCall, tool: BaseTool | None) -> bool:
    """Say whether a call does something to the user or on their behalf, rather than look something up.

    A tool says so itself with `metadata={"readOnlyHint": ...}`, as tools of an MCP server do; else its name decides.
    """
    declared = (tool.metadata or {}).get("readOnlyHint") if tool is not None else None
    if isinstance(declared, bool):
        return not declared
    named = set(_name_of(call).split())
    verbs = _verbs()
    return not named.isdisjoint(verbs["acts"]) or named.isdisjoint(verbs["reads"])


def refusal(held: Held) -> ToolMessage:
    """Return what the model is told instead of a result: why the call was not made, as data."""
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
    return " ".join(_WORD.findall(call["name"])).lower()


def _values(args: Any) -> Iterator[str]:
    """Return the texts among a call's arguments, however deep they stand."""
    if isinstance(args, str):
        yield args
    elif isinstance(args, Mapping):
        for value in args.values():
            yield from _values(value)
    elif isinstance(args, list | tuple):
        for value in args:
            yield from _values(value)


@cache
def _verbs() -> Mapping[str, frozenset[str]]:
    tables = tomllib.loads(files("mirror_graph.agents").joinpath("actions.toml").read_text("utf-8"))
    return {name: frozenset(word.strip() for word in listed.split(",")) for name, listed in tables.items()}


