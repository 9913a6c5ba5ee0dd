"""Tools by which a user's rights reach an agent: to see what is stored about them, and to have it forgotten."""

import tomllib
from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from langchain.tools import ToolRuntime
from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.store.base import BaseStore

from mirror_graph.agents.record import AgentRecord, record_in
from mirror_graph.guard.phrases import Phrases
from mirror_graph.host.user import User
from mirror_graph.ledger.identity import distinguishing_words
from mirror_graph.ledger.words import is_unspaced, split, stem
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import active

FORGET = "forget_constraint"

Answer = tuple[str, dict[str, str]]
"""What a tool tells the model, and the id of what it erased, under `erased`."""

Run = Callable[[Coroutine[Any, Any, Answer]], Answer]
"""Run a coroutine to its end, for an agent that runs without an event loop."""


class UserOf(Protocol):
    """Tells whose run it is, and where that user's constraints are stored."""

    def __call__(self, runtime: ToolRuntime[Any, Any], *, is_sync: bool) -> tuple[BaseStore, str]:
        """Return the store, as a coroutine may use it, and the user's id."""
        ...


def rights_tools(user_of: UserOf, run: Run) -> Sequence[BaseTool]:
    """Return the tools `list_constraints` and `forget_constraint`."""

    async def alist_constraints(runtime: ToolRuntime[Any, Any]) -> Answer:
        return await _list(runtime, *user_of(runtime, is_sync=False))

    def list_constraints(runtime: ToolRuntime[Any, Any]) -> Answer:
        return run(_list(runtime, *user_of(runtime, is_sync=True)))

    async def aforget_constraint(constraint_id: str, runtime: ToolRuntime[Any, Any]) -> Answer:
        return await _forget(constraint_id, runtime, *user_of(runtime, is_sync=False))

    def forget_constraint(constraint_id: str, runtime: ToolRuntime[Any, Any]) -> Answer:
        return run(_forget(constraint_id, runtime, *user_of(runtime, is_sync=True)))

    return [
        StructuredTool.from_function(
            list_constraints,
            alist_constraints,
            name="list_constraints",
            response_format="content_and_artifact",
            description="List the dangers that are stored about the user, each with its id and in their own words.",
        ),
        StructuredTool.from_function(
            forget_constraint,
            aforget_constraint,
            name=FORGET,
            response_format="content_and_artifact",
            description=(
                "Erase one danger that is stored about the user, and only if they ask for it in their own words. "
                "`constraint_id` is an id that `list_constraints` returned."
            ),
        ),
    ]


def asks_to_forget(request: str, constraint: SafetyConstraint) -> bool:
    """Say whether the user's own words ask to forget a constraint: they say so, and name it.

    What a tool returns may ask for it too, and its words are not the user's.
    """
    requested = split(request)
    named = distinguishing_words(constraint)
    is_named = not {stem(word) for word in requested}.isdisjoint(map(stem, named)) or any(
        word in run for word in named if is_unspaced(word) for run in requested
    )
    return is_named and _forgetting().is_in(requested)


async def _list(runtime: ToolRuntime[Any, Any], store: BaseStore, user_id: str) -> Answer:
    known = active(await _known(runtime, store, user_id))
    lines = [f"{entry['id']}: {entry['kind']}, {entry['severity']}: {entry['source']['quote']}" for entry in known]
    return "\n".join(lines) or "Nothing is stored about this user.", {}


async def _forget(constraint_id: str, runtime: ToolRuntime[Any, Any], store: BaseStore, user_id: str) -> Answer:
    known = {entry["id"]: entry for entry in await _known(runtime, store, user_id)}
    if constraint_id not in known:
        return f"Nothing is stored under {constraint_id!r}: list_constraints lists the ids.", {}
    if not asks_to_forget(record_in(runtime.state)["request"], known[constraint_id]):
        return "Not erased: the user has not asked for it. Ask them to say in their own words what to forget.", {}
    await User(store, user_id).forget(constraint_id)
    return "Erased.", {"erased": constraint_id}


def without_erased(record: AgentRecord, results: Sequence[AnyMessage]) -> AgentRecord:
    """Return the record without what the user has had erased in this turn."""
    erased = {
        result.artifact["erased"]
        for result in results
        if isinstance(result, ToolMessage) and result.name == FORGET and (result.artifact or {}).get("erased")
    }
    if not erased:
        return record
    return {**record, "constraints": [entry for entry in record["constraints"] if entry["id"] not in erased]}


async def _known(runtime: ToolRuntime[Any, Any], store: BaseStore, user_id: str) -> list[SafetyConstraint]:
    """Return what is stored about the user, with what this conversation adds that no pass has read yet."""
    stored = {entry["id"]: entry for entry in await User(store, user_id).constraints()}
    fresh = {entry["id"]: entry for entry in record_in(runtime.state)["constraints"]}
    return list({**fresh, **stored}.values())


@cache
def _forgetting() -> Phrases:
    lists = tomllib.loads(files("mirror_graph.agents").joinpath("rights.toml").read_text("utf-8"))
    return Phrases(lists.values())
