"""Who proposes items: the talker's model in one structured call, or a source of the host's."""

import asyncio
import inspect
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, get_args

from langchain_core.messages import AnyMessage
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mirror_graph.calls.json_in_text import last_object
from mirror_graph.calls.reply_prompt import reply_prompt
from mirror_graph.calls.structured import ask_structured
from mirror_graph.errors import CallError, ReplyError
from mirror_graph.prompts import fenced, one_line, quoted, render
from mirror_graph.state import MirrorContext, MirrorState, SafetyConstraint, Tokens
from mirror_graph.state.offers import InvalidItemError, Item, ItemSource, Met, check_item

PROPOSE = "propose"
TOKENS_PER_ITEM = 160
TOKENS_AROUND = 200


class ProposedItem(BaseModel):
    """An item as a model proposes it. Only the title is needed to read the others.

    The schema asks for the description all the same: a small model leaves out whatever it may, and an item of which
    nothing is said cannot be screened.
    """

    model_config = ConfigDict(json_schema_extra={"required": ["title", "about", "met", "why"]})

    title: str
    year: int | None = None
    about: str = ""
    tags: list[str] = []
    met: str = Field(json_schema_extra={"enum": list(get_args(Met))})
    why: str = ""

    @field_validator("year", mode="before")
    @classmethod
    def _whole(cls, year: Any) -> Any:
        """Take a year that is written as text, and none for one that is no number: a dish has no year."""
        if isinstance(year, str):
            return int(year) if year.strip().isdecimal() else None
        return year

    @field_validator("about", "tags", "why", mode="before")
    @classmethod
    def _missing(cls, given: Any, info: Any) -> Any:
        if given is None:
            return [] if info.field_name == "tags" else ""
        return given


class Proposal(BaseModel):
    """What the model answers."""

    items: list[ProposedItem]


class Proposed(NamedTuple):
    """The items that were proposed, and what a model call took."""

    items: list[Item]
    tokens: Tokens | None = None


async def ask_model(
    window: Sequence[AnyMessage],
    thread: MirrorState,
    constraints: Sequence[SafetyConstraint],
    count: int,
    without: Sequence[str],
    context: MirrorContext,
    turn: int,
) -> Proposed:
    """Ask the talker's model for `count` items that answer the user's last words, and none of `without`.

    The model is given the narrative and the constraints, and titles to leave out without a reason.
    Raises `ReplyError` if the call failed, or the answer holds no item that can be read.
    """
    inner = fenced(secrets.token_hex(4), proposal_request(thread, constraints, count, without))
    prompt = reply_prompt(window, thread["branch"], inner, context, template="propose")
    asking = replace(context, thinker_model=context.talker_model, thinker_timeout=context.talker_timeout)
    most = TOKENS_AROUND + TOKENS_PER_ITEM * count
    try:
        answer = await ask_structured(PROPOSE, prompt, Proposal, asking, turn, most, salvage=_whole_items)
    except CallError as error:
        raise ReplyError(f"no proposal: {error.problem}", transient=error.transient, cause=error.cause) from error
    items = _readable(answer.value)
    if answer.value.items and not items:
        raise ReplyError("the proposal could not be read: no item of it has a title and a known `met`", transient=True)
    return Proposed(items, answer.tokens)


async def ask_source(
    source: ItemSource, request: str, count: int, without: Sequence[str], seconds: float
) -> list[Item]:
    """Ask a source of the host's for items, for `seconds` at most.

    A source that is no coroutine function runs in a thread. One that is too slow is not waited for, but goes on there.

    Raises `ReplyError` if the source raised, was too slow or returned no list, and `InvalidItemError` for a wrong item.
    """
    try:
        async with asyncio.timeout(seconds):
            items = await _call(source, request, count, list(without))
    except TimeoutError as error:
        # A source may raise a TimeoutError of its own. Either way, nothing came.
        raise ReplyError(f"the source returned nothing within {seconds} s (`talker_timeout`)", cause=error) from error
    except Exception as error:
        problem = f"the source raised {type(error).__name__}: expected it to return a list of items"
        raise ReplyError(problem, cause=error) from error
    if not isinstance(items, list | tuple):
        raise ReplyError(f"the source returned {type(items).__name__}: expected a list of items")
    return [check_item(item) for item in items]


async def _call(source: ItemSource, request: str, count: int, without: list[str]) -> object:
    is_async = inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(getattr(source, "__call__", None))  # noqa: B004  # it is not asked whether it can be called
    if is_async:
        items = source(request, count, without)
    else:
        items = await asyncio.to_thread(source, request, count, without)
    return await items if inspect.isawaitable(items) else items


def proposal_request(
    thread: MirrorState, constraints: Sequence[SafetyConstraint], count: int, without: Sequence[str]
) -> str:
    """Return what comes before the user's words: the narrative, how many items are wanted, and what to leave out."""
    narrative = one_line(thread["narrative"].get("text", ""))
    dangers = [
        f"- {danger['kind']} of {quoted(danger['subject'])}: {quoted(danger['about'])}" for danger in constraints
    ]
    return render(
        "propose_request",
        account=render("inner_narrative", narrative=narrative) if narrative else "",
        count=str(count),
        dangers="\n".join(["The dangers:", *dangers]) if dangers else "",
        without=f"Leave out: {', '.join(map(quoted, without))}." if without else "",
    )


def _whole_items(text: str) -> Proposal | None:
    """Return the items that are whole in a proposal that was cut, or None if none is."""
    whole: list[ProposedItem] = []

    def collect(found: dict[str, Any]) -> ProposedItem | None:
        try:
            whole.append(ProposedItem.model_validate(found))
        except ValidationError:
            return None
        return whole[-1]

    last_object(text, collect)
    return Proposal(items=whole) if whole else None


def _readable(proposal: Proposal) -> list[Item]:
    """Return the items of a proposal that are whole. A model may get one of several wrong."""
    items: list[Item] = []
    for proposed in proposal.items:
        try:
            items.append(check_item(proposed.model_dump()))
        except InvalidItemError:
            continue
    return items
