"""One call of an agent's model: what it is asked, what the turn touches, and what its reply notes."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from uuid import uuid4

from langchain.agents.middleware import ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage

from mirror_graph.agents.notes import note_on
from mirror_graph.agents.prompt import in_window, tool_results, with_mind, with_rules
from mirror_graph.agents.record import AgentRecord
from mirror_graph.calls.context_block import context_block
from mirror_graph.guard import GuardedModel
from mirror_graph.models import ending
from mirror_graph.nodes.turn import narrative_turn
from mirror_graph.prompts import render, strip_leading_tags
from mirror_graph.relevance.choose import Relevant, find_relevant
from mirror_graph.relevance.levels import relevant
from mirror_graph.state import MirrorContext
from mirror_graph.state.branch import lag_of

TURNS = 1_000
"""How many turns are remembered with what they touch, the latest; an older one is read again."""


@dataclass
class Sight:
    """What a turn touches: the user's words do, and each tool's result, by the id of its message."""

    words: Relevant
    results: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def touched(self) -> frozenset[str] | None:
        """The ids of all constraints that are touched; None if the model decides."""
        return None if self.words.touched is None else self.words.touched.union(*self.results.values())


class Call(NamedTuple):
    """A call of the agent's model: the turn it belongs to, what that touches, and MIRROR's context."""

    record: AgentRecord
    sight: Sight
    context: MirrorContext


class Sights:
    """What the turns of a process touch, so that it is found out once a turn and not once a call."""

    def __init__(self) -> None:
        self._by_mark: OrderedDict[str, Sight] = OrderedDict()

    def sight_of(self, record: AgentRecord) -> Sight | None:
        """Return what a turn touches, if that is known."""
        return self._by_mark.get(record["mark"])

    async def look(self, record: AgentRecord, messages: Sequence[AnyMessage], context: MirrorContext) -> Sight:
        """Find out what a turn touches: by the user's words once, and by each tool's result once it is there."""
        sight = self.sight_of(record)
        if sight is None:
            request = [HumanMessage(record["request"])]
            sight = Sight(await find_relevant(record["constraints"], request, context, record["turn"]))
            self._by_mark[record["mark"]] = sight
            while len(self._by_mark) > TURNS:
                self._by_mark.popitem(last=False)
        for result in tool_results(record, messages):
            if result.tool_call_id not in sight.results:
                sight.results[result.tool_call_id] = frozenset(relevant(record["constraints"], result.text))
        return sight


def prepared(request: ModelRequest[Any], call: Call, model: BaseChatModel, *, trim: bool) -> ModelRequest[Any]:
    """Return what the model is asked: with MIRROR's rules and the mind in view, and guarded as it answers."""
    record, sight, context = call
    inner = context_block(
        record["mind"],
        record["constraints"],
        sight.touched,
        context.directive or render("directive"),
        record["mark"],
        sight.words.mentioned,
        sight.words.introduced,
        sight.words.in_domain,
        sight.words.unknown,
        lists_unrelated=context.guard != "open",
    )
    guarded = GuardedModel.around(
        model,
        record["constraints"],
        guard=context.guard,
        guard_again=context.guard_again,
        request=record["request"],
        touched=sight.words.touched,
        history=request.messages,
    )
    labels = {"component": "talker", "turn": record["turn"]}
    named = guarded.model_copy(update={"name": "talker", "metadata": {**(guarded.metadata or {}), **labels}})
    shown = in_window(request.messages, record, context.window_tokens) if trim else request.messages
    return request.override(
        model=named, system_message=with_rules(request.system_message), messages=with_mind(shown, record, inner)
    )


def marked(response: ModelResponse[Any], call: Call, messages: Sequence[AnyMessage]) -> ModelResponse[Any]:
    """Mark the reply that ends a turn. A structured one that needs a note gets it as a message of its own."""
    replies = [message for message in response.result if isinstance(message, AIMessage)]
    if not replies or (replies[-1].tool_calls and response.structured_response is None):
        return response
    reply = mark_reply(replies[-1], call.record)
    result: list[BaseMessage] = [reply if message is replies[-1] else message for message in response.result]
    note = _note_on_answer(reply, call, messages) if response.structured_response is not None else None
    return replace(response, result=result if note is None else [*result, note])


def _note_on_answer(reply: AIMessage, call: Call, messages: Sequence[AnyMessage]) -> AIMessage | None:
    """Return the note that a structured answer needs, or None: its words are those of the reply, or its calls."""
    answer = json.dumps([tool_call["args"] for tool_call in reply.tool_calls], ensure_ascii=False)
    return note_on(reply.text or answer, call.record, call.sight.words, messages, call.context)


def mark_reply(message: AIMessage, record: AgentRecord) -> AIMessage:
    """Return a reply with what it notes about itself, and without a tag of ours that the model may begin it with."""
    mirror = {
        **message.response_metadata.get("mirror", {}),
        "turn": record["turn"],
        "narrative_turn": narrative_turn(record["mind"]),
        "lag": lag_of(record["mind"], record["branch"]),
        "finish_reason": ending(message),
    }
    content = strip_leading_tags(message.content) if isinstance(message.content, str) else message.content
    noted = {**message.response_metadata, "mirror": mirror}
    update = {"content": content, "response_metadata": noted, "id": message.id or str(uuid4())}
    return message.model_copy(update=update)
