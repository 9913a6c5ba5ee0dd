"""`recommend_tool`: recommendations of an agent that respect its user's constraints."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from langchain.tools import ToolRuntime
from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import Field

from mirror_graph.agents.record import KEY, AgentRecord, record_in
from mirror_graph.calls.proposing import ask_source
from mirror_graph.errors import ConfigurationError, ReplyError
from mirror_graph.loop_thread import shared_loop_thread
from mirror_graph.nodes.offer import make_offer
from mirror_graph.relevance.screen_items import screen_items
from mirror_graph.state import MirrorContext
from mirror_graph.state.constraints import lethal_ids
from mirror_graph.state.offering import MOST_ROUNDS, Title, count_to_propose, new_items, title_of
from mirror_graph.state.offers import MOST_ITEMS, ItemSource, Offer, Verdict
from mirror_graph.state.recommendation import DEFAULT_COUNT

Count = Annotated[int, Field(ge=1, le=MOST_ITEMS, description="How many items the user wants.")]
Request = Annotated[str, Field(description="What the user asks for, in their own words.")]

_DESCRIPTION = "Find items to recommend to the user. Recommend nothing but what it returns."


def recommend_tool(
    source: ItemSource,
    *,
    name: str = "recommend",
    description: str = _DESCRIPTION,
    context: MirrorContext | None = None,
) -> BaseTool:
    """Return a tool for an agent with `MirrorMiddleware`: it offers items of `source` that touch no constraint.

    `source` is as in `Conversation.recommend`, and the constraints are those that hold in the agent's turn. The model
    and the thread get what is offered, and nothing of what was withheld. `context` names the model that decides where
    the relations cannot; without one this stays undecided. `context.talker_timeout` bounds the source.

    A call raises `ConfigurationError` in an agent without the middleware, and `ReplyError` and `InvalidItemError` as
    `Conversation.recommend` does.
    """

    async def arecommend(
        request: Request, runtime: ToolRuntime[Any, Any], count: Count = DEFAULT_COUNT
    ) -> tuple[str, dict[str, Any]]:
        record = _record(runtime, name)
        made = await _find(source, request, count, record, offered_by(name, runtime.state["messages"]), context)
        return made.text, {key: value for key, value in asdict(made).items() if key not in ("withheld", "text")}

    def recommend(
        request: Request, runtime: ToolRuntime[Any, Any], count: Count = DEFAULT_COUNT
    ) -> tuple[str, dict[str, Any]]:
        return shared_loop_thread().run(arecommend(request, runtime, count))

    return StructuredTool.from_function(
        recommend,
        arecommend,
        name=name,
        description=description,
        response_format="content_and_artifact",
        metadata={"readOnlyHint": True},  # it does nothing to the user, so the call itself is not held
    )


def offered_by(name: str, messages: Sequence[AnyMessage]) -> list[Title]:
    """Return what earlier calls of the tool `name` offered."""
    calls = [message for message in messages if isinstance(message, ToolMessage) and message.name == name]
    return [title_of(item) for call in calls if call.artifact for item in call.artifact["items"]]


async def _find(
    source: ItemSource,
    request: str,
    k: int,
    record: AgentRecord,
    offered: Sequence[Title],
    context: MirrorContext | None,
) -> Offer:
    """Propose and screen as the graph `recommend` does."""
    constraints = record["constraints"]
    lethal = lethal_ids(constraints)
    seconds = (context or MirrorContext()).talker_timeout
    verdicts: list[Verdict] = []
    rounds = 0
    while rounds < MOST_ROUNDS and (count := count_to_propose(k, verdicts, lethal, rounds)):
        without = [title for title, _ in [*offered, *(title_of(verdict["item"]) for verdict in verdicts)]]
        try:
            proposed = await ask_source(source, request, count, without, seconds)
        except ReplyError:
            if rounds == 0:
                raise
            break  # what fits already is offered
        rounds += 1
        fresh = new_items(proposed, verdicts, offered)
        if not fresh:
            break
        verdicts += (await screen_items(constraints, fresh, context, record["turn"])).verdicts
    return make_offer(verdicts, lethal, k, rounds, "en")


def _record(runtime: ToolRuntime[Any, Any], name: str) -> AgentRecord:
    if KEY not in runtime.state:
        raise ConfigurationError(
            f"the tool {name!r} knows no constraints: create_agent(..., middleware=[MirrorMiddleware(...)])"
        )
    return record_in(runtime.state)
