"""`MirrorMiddleware`: a mind, a guarded reply and held actions for an agent of LangChain's `create_agent`."""

import json
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args
from uuid import uuid4

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.agents.middleware.types import ToolCallRequest
from langchain.tools import ToolRuntime
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.types import Command, interrupt
from langsmith.run_helpers import get_current_run_tree

from mirror_graph.agents.actions import OnAction, Outcome, hold, is_approval, mark, question, refusal
from mirror_graph.agents.handles import Handles
from mirror_graph.agents.home import Home, home_in, thread_in
from mirror_graph.agents.model import ModelOfContext
from mirror_graph.agents.notes import note_on
from mirror_graph.agents.prompt import in_window, tool_results, with_mind, with_rules
from mirror_graph.agents.record import KEY, AgentRecord, MirrorAgentState, record_in
from mirror_graph.agents.rights import rights_tools, without_erased
from mirror_graph.agents.thinking import AgentThread
from mirror_graph.agents.turn import begin_turn, end_turn, reply_to, share_unread
from mirror_graph.errors import ConfigurationError
from mirror_graph.guard import guarded
from mirror_graph.models import chat_model, ending, register_model
from mirror_graph.models.scripted import unregister_model
from mirror_graph.nodes.inner import mind_block
from mirror_graph.nodes.known import whose
from mirror_graph.nodes.looking import Seen, look
from mirror_graph.nodes.talk import REPLY_TOKENS, narrative_turn
from mirror_graph.prompts import render, unechoed
from mirror_graph.relevance.levels import relevant
from mirror_graph.state import MirrorContext
from mirror_graph.state.branch import lag_of

TURNS = 1_000
"""How many turns are remembered with what they touch, the latest; an older one is read again."""

UserId = Callable[[Runtime[Any]], str | None]


@dataclass
class _Sight:
    """What a turn touches: the user's words do, and each tool's result, by the id of its message."""

    seen: Seen
    by_results: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def touched(self) -> frozenset[str] | None:
        """The ids of all constraints that are touched; None if the model decides."""
        return None if self.seen.touched is None else self.seen.touched.union(*self.by_results.values())


class MirrorMiddleware(Handles, AgentMiddleware[MirrorAgentState, Any, Any]):
    """Give an agent a mind that thinks between turns, and hold what it says and does to its user's constraints.

    The mind is kept in the agent's store, or in its checkpointer if it has no store. A thread id is any text. The
    agent's model thinks, too, unless `context` names other models. `context` is MIRROR's own and has nothing to do with
    the agent's; its `instructions` and talker settings do not apply, since the agent has its own. Without one, a run
    whose own context is a `MirrorContext` brings it.

    `on_action` says what becomes of a tool call that touches a severe constraint of the user's: `"refuse"` (the tool
    does not run, and the model is told why), `"interrupt"` (the user is asked) or `"allow"`. `trim` shows the model
    only the messages that fit `context.window_tokens`. `user_tools` adds tools by which users see what is kept about
    them, and have it erased; they need a store. `user_id` returns whose run it is; by default that is
    `context.user_id`, and on a server always the signed-in user.

    Raises `ConfigurationError` for a wrong setting, and in a run of an agent with neither a checkpointer nor a store,
    or without a thread id.
    """

    state_schema = MirrorAgentState

    def __init__(
        self,
        *,
        context: MirrorContext | None = None,
        on_action: OnAction = "refuse",
        trim: bool = False,
        user_tools: bool = False,
        user_id: UserId | None = None,
    ) -> None:
        super().__init__()
        if context is not None and not isinstance(context, MirrorContext):
            raise ConfigurationError(f"context is {context!r:.200}: expected a MirrorContext")
        if on_action not in get_args(OnAction):
            raise ConfigurationError(f"on_action is {on_action!r}: expected one of {', '.join(get_args(OnAction))}")
        self._context = context
        self._on_action = on_action
        self._trim = trim
        self._user_tools = user_tools
        self._user_id = user_id
        self._sights: OrderedDict[str, _Sight] = OrderedDict()
        self._model: BaseChatModel | None = None
        self._model_name = f"agent-{uuid4().hex}"
        self.tools = rights_tools(self._user_of_tool, self._background.run) if user_tools else []
        weakref.finalize(self, unregister_model, self._model_name)

    # A turn begins: the newest mind, and the constraints that hold in it.

    def before_agent(self, state: MirrorAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Start a turn from the newest mind."""
        return self._background.run(self._begin(state, runtime, get_config(), is_sync=True))

    async def abefore_agent(self, state: MirrorAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Start a turn from the newest mind."""
        return await self._begin(state, runtime, get_config(), is_sync=False)

    async def _begin(
        self, state: MirrorAgentState, runtime: Runtime[Any], config: RunnableConfig, *, is_sync: bool
    ) -> dict[str, Any]:
        home, thread_id = home_in(runtime.store, config, is_sync=is_sync), thread_in(config)
        if self._user_tools and home.store is None:
            raise ConfigurationError(
                "user_tools need a store: create_agent(..., store=InMemoryStore()), or leave user_tools out"
            )
        mine = self._runtime(runtime, home, thread_id)
        lane = self._thinking.lane(home)
        record = await begin_turn(record_in(state), state["messages"], thread_id, lane, mine)
        return {KEY: record}

    # The model is called: rules, mind and guard.

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Ask the model with the mind in view, and hold its reply to the user's constraints."""
        record = self._record_in(request.state, request.messages)
        if not record["mark"]:
            return handler(request)
        context = self._context_of(request)
        sight = self._background.run(self._look(record, request.messages, context))
        return self._marked(handler(self._prepared(request, record, sight, context)), record, sight, request)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Ask the model with the mind in view, and hold its reply to the user's constraints."""
        record = self._record_in(request.state, request.messages)
        if not record["mark"]:
            return await handler(request)
        context = self._context_of(request)
        sight = await self._look(record, request.messages, context)
        return self._marked(await handler(self._prepared(request, record, sight, context)), record, sight, request)

    def _record_in(self, state: Mapping[str, Any], messages: list[AnyMessage]) -> AgentRecord:
        """Return the record of the turn under way, without what the user has had erased in it."""
        record = record_in(state)
        return without_erased(record, tool_results(record, messages)) if self._user_tools else record

    async def _look(self, record: AgentRecord, messages: list[AnyMessage], context: MirrorContext) -> _Sight:
        """Say what the turn touches: the user's words once, and each tool's result once it is there."""
        sight = self._sights.get(record["mark"])
        if sight is None:
            words = [HumanMessage(record["request"])]
            sight = _Sight(await look(record["constraints"], words, context, record["turn"]))
            self._sights[record["mark"]] = sight
            while len(self._sights) > TURNS:
                self._sights.popitem(last=False)
        for result in tool_results(record, messages):
            key = result.id or str(getattr(result, "tool_call_id", ""))
            if key not in sight.by_results:
                sight.by_results[key] = frozenset(relevant(record["constraints"], result.text))
        return sight

    def _prepared(
        self, request: ModelRequest[Any], record: AgentRecord, sight: _Sight, context: MirrorContext
    ) -> ModelRequest[Any]:
        directive = context.directive or render("directive")
        seen = sight.seen
        inner = mind_block(
            record["mind"],
            record["constraints"],
            sight.touched,
            directive,
            record["mark"],
            seen.told,
            seen.introduced,
            seen.in_domain,
            seen.unknown,
        )
        shown = in_window(request.messages, record, context.window_tokens) if self._trim else request.messages
        model = guarded(
            self._model_for(request, context),
            record["constraints"],
            request=record["request"],
            touched=seen.touched,
            history=request.messages,
        )
        labels = {"component": "talker", "turn": record["turn"]}
        return request.override(
            model=model.model_copy(update={"name": "talker", "metadata": {**(model.metadata or {}), **labels}}),
            system_message=with_rules(request.system_message),
            messages=with_mind(shown, record, inner),
        )

    def _marked(
        self, response: ModelResponse[Any], record: AgentRecord, sight: _Sight, request: ModelRequest[Any]
    ) -> ModelResponse[Any]:
        """Mark the reply that ends a turn. A structured one that needs a note gets it as a message of its own."""
        replies = [message for message in response.result if isinstance(message, AIMessage)]
        if not replies or (replies[-1].tool_calls and response.structured_response is None):
            return response
        marked = _mark_reply(replies[-1], record)
        result: list[BaseMessage] = [marked if message is replies[-1] else message for message in response.result]
        if response.structured_response is not None:
            answer = json.dumps([call["args"] for call in marked.tool_calls], ensure_ascii=False)
            if note := note_on(marked.text or answer, record, sight.seen, request.messages):
                result.append(note)
        return replace(response, result=result)

    # A tool is called: an action is held like a reply.

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Run a tool, unless its call touches a severe constraint of the user's."""
        verdict = self._judge(request)
        if isinstance(verdict, ToolMessage):
            return verdict
        return _with_mark(handler(request), verdict)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Run a tool, unless its call touches a severe constraint of the user's."""
        verdict = self._judge(request)
        if isinstance(verdict, ToolMessage):
            return verdict
        return _with_mark(await handler(request), verdict)

    def _judge(self, request: ToolCallRequest) -> ToolMessage | Mapping[str, Any]:
        """Return the refusal of a call, or what its result notes if it runs: nothing, if nothing is touched."""
        held = hold(request.tool_call, request.tool, self._record_in(request.state, request.state["messages"]))
        if held is None:
            return {}
        outcome: Outcome = "allowed"
        if self._on_action == "refuse":
            outcome = "refused"
        elif self._on_action == "interrupt":
            outcome = "approved" if is_approval(interrupt(question(held))) else "refused"
        noted = mark(held, outcome)
        _trace(noted)
        return refusal(held) if outcome == "refused" else noted

    # A turn has ended: what was said is to be thought about.

    def after_agent(self, state: MirrorAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Hand over what was said to be thought about. The reply is out by then."""
        return self._background.run(self._end(state, runtime, get_config(), _trace_headers(), is_sync=True))

    async def aafter_agent(self, state: MirrorAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Hand over what was said to be thought about. The reply is out by then."""
        return await self._end(state, runtime, get_config(), _trace_headers(), is_sync=False)

    async def _end(
        self,
        state: MirrorAgentState,
        runtime: Runtime[Any],
        config: RunnableConfig,
        trace: dict[str, str],
        *,
        is_sync: bool,
    ) -> dict[str, Any]:
        home, thread_id = home_in(runtime.store, config, is_sync=is_sync), thread_in(config)
        mine = self._runtime(runtime, home, thread_id)
        before = record_in(state)
        record = end_turn(before, state["messages"], mine.context, whose(mine))
        if record is before:
            return {}
        if not record["pending"]:
            await share_unread(record, mine)
        context = self._thinking_context(replace(mine.context, user_id=whose(mine)))
        await self._thinking.schedule(AgentThread.here(thread_id, home, record, context), trace)
        return {KEY: record, "messages": self._unmarked_reply(before, state["messages"])}

    def _unmarked_reply(self, record: AgentRecord, messages: list[AnyMessage]) -> list[AnyMessage]:
        """Return the reply of a turn that no call of the model ended, marked, and the note that it may need.

        That is the result of a tool that is returned as it is, or what other middleware has ended the run with.
        """
        reply = reply_to(record, messages)
        if reply is None or "turn" in reply.message.response_metadata.get("mirror", {}):
            return []
        sight = self._sights.get(record["mark"])
        note = note_on(reply.text, record, sight.seen if sight else Seen(None), messages)
        return [_mark_reply(reply.message, record), *([note] if note else [])]

    # Whose run it is, and who thinks.

    def _runtime(self, runtime: Runtime[Any], home: Home, thread_id: str) -> Runtime[MirrorContext]:
        """Return the run's runtime with MIRROR's context in the place of the agent's own."""
        context = self._context_in(runtime.context)
        user_id = self._user_id(runtime) if self._user_id else context.user_id
        if user_id is None and self._user_tools:
            user_id = f"thread {thread_id}"  # what is erased is remembered by user, so there has to be one
        return runtime.override(context=replace(context, user_id=user_id), store=home.usable_store)

    def _user_of_tool(self, runtime: ToolRuntime[Any, Any], *, is_sync: bool) -> tuple[BaseStore, str]:
        home, thread_id = home_in(runtime.store, runtime.config, is_sync=is_sync), thread_in(runtime.config)
        plain = Runtime(context=runtime.context, server_info=runtime.server_info)
        mine = self._runtime(plain, home, thread_id)
        user_id = whose(mine)
        assert mine.store is not None  # checked as the run began
        assert user_id is not None
        return mine.store, user_id

    def _context_in(self, of_run: object) -> MirrorContext:
        if self._context is None and isinstance(of_run, MirrorContext):
            return of_run
        return self._context or MirrorContext()

    def _context_of(self, request: ModelRequest[Any]) -> MirrorContext:
        """Return the context of a call; the model that is asked is from now on the one that thinks."""
        if request.model is not self._model:
            self._model = request.model
            if not isinstance(request.model, ModelOfContext):
                register_model(self._model_name, request.model)
        context = self._context_in(request.runtime.context)
        return self._thinking_context(context) or context

    def _thinking_context(self, context: MirrorContext) -> MirrorContext | None:
        """Return the context that thinking starts from, or None if the agent's model is not known in this process."""
        if self._model is None:
            return context if context.thinker_model and context.synthesis_model else None
        if isinstance(self._model, ModelOfContext):
            return context
        return replace(context, talker_model=f"scripted:{self._model_name}")

    def _model_for(self, request: ModelRequest[Any], context: MirrorContext) -> BaseChatModel:
        if not isinstance(request.model, ModelOfContext):
            return request.model
        return chat_model(context.talker_model, temperature=context.temperature, max_tokens=REPLY_TOKENS)


def _mark_reply(message: AIMessage, record: AgentRecord) -> AIMessage:
    """Return a reply with what it notes about itself, and without a tag of ours that the model may begin it with."""
    mirror = {
        **message.response_metadata.get("mirror", {}),
        "turn": record["turn"],
        "narrative_turn": narrative_turn(record["mind"]),
        "lag": lag_of(record["mind"], record["branch"]),
        "finish_reason": ending(message),
    }
    content = unechoed(message.content) if isinstance(message.content, str) else message.content
    noted = {**message.response_metadata, "mirror": mirror}
    return message.model_copy(update={"content": content, "response_metadata": noted, "id": message.id or str(uuid4())})


def _with_mark(result: ToolMessage | Command[Any], noted: Mapping[str, Any]) -> ToolMessage | Command[Any]:
    if not noted or not isinstance(result, ToolMessage):
        return result
    return result.model_copy(update={"response_metadata": {**result.response_metadata, **noted}})


def _trace(noted: Mapping[str, Any]) -> None:
    """Note in the trace what became of a call: the outcome and the constraints' ids, and no words."""
    run = get_current_run_tree()
    if run is not None:
        run.add_metadata(
            {"mirror_action": noted["mirror"]["action"], "mirror_constraints": noted["mirror"]["constraints"]}
        )


def _trace_headers() -> dict[str, str]:
    run = get_current_run_tree()
    return dict(run.to_headers()) if run else {}
