"""`MirrorMiddleware`: a mind, a guarded reply and held actions for an agent of LangChain's `create_agent`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, cast, get_args

from langchain.agents import AgentState
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.agents.middleware.types import ToolCallRequest
from langchain.tools import ToolRuntime
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.config import get_config
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.base import BaseStore
from langsmith.run_helpers import get_current_run_tree

from mirror_graph.agents.actions import OnAction
from mirror_graph.agents.call import Call, Sights, mark_reply, marked, prepared
from mirror_graph.agents.handles import Handles
from mirror_graph.agents.holding import HoldingMiddleware
from mirror_graph.agents.home import Home, home_in, thread_in
from mirror_graph.agents.model import ModelOfContext
from mirror_graph.agents.notes import note_on
from mirror_graph.agents.prompt import tool_results
from mirror_graph.agents.record import KEY, AgentRecord, MirrorAgentState, empty_record, record_in
from mirror_graph.agents.rights import rights_tools, without_erased
from mirror_graph.agents.thinking import AgentThread
from mirror_graph.agents.turn import begin_turn, end_turn, reply_to, share_unread
from mirror_graph.calls.reply_stream import REPLY_TOKENS
from mirror_graph.errors import ConfigurationError
from mirror_graph.guard.warming import start_warm_up
from mirror_graph.ledger.access import user_of
from mirror_graph.models import chat_model
from mirror_graph.relevance.choose import Relevant
from mirror_graph.state import MirrorContext

UserId = Callable[[Runtime[Any]], str | None]


class MirrorMiddleware(HoldingMiddleware, Handles):
    """Give an agent a mind that thinks between turns, and hold what it says and does to its user's constraints.

    The mind is stored in the agent's store, or in its checkpointer if it has no store. A thread id is any text. The
    agent's model thinks, too, unless `context` names other models. `context` is MIRROR's own and has nothing to do with
    the agent's; its `instructions` and talker settings do not apply, since the agent has its own. Without one, a run
    whose own context is a `MirrorContext` brings it.

    `on_action` says what becomes of a tool call that touches a severe constraint of the user's: `"refuse"` (the tool
    does not run, and the model learns why), `"interrupt"` (the user is asked) or `"allow"`. `trim` shows the model
    only the messages that fit `context.window_tokens`. `user_tools` adds tools by which users see what is stored about
    them, and have it erased; they need a store. `user_id` returns whose run it is; by default that is
    `context.user_id`, and on a server always the signed-in user.

    Raises `ConfigurationError` for a wrong setting, and in a run of an agent with neither a checkpointer nor a store,
    or without a thread id.
    """

    # As wide a type as other middleware has, so that a list of both is of one type.
    state_schema = cast("type[AgentState[Any]]", MirrorAgentState)

    def __init__(
        self,
        *,
        context: MirrorContext | None = None,
        on_action: OnAction = "refuse",
        trim: bool = False,
        user_tools: bool = False,
        user_id: UserId | None = None,
    ) -> None:
        if context is not None and not isinstance(context, MirrorContext):
            raise ConfigurationError(f"context is {context!r:.200}: expected a MirrorContext")
        if on_action not in get_args(OnAction):
            raise ConfigurationError(f"on_action is {on_action!r}: expected one of {', '.join(get_args(OnAction))}")
        super().__init__(on_action)
        self._context = context
        self._trim = trim
        self._user_tools = user_tools
        self._user_id = user_id
        self._sights = Sights()
        self._model: BaseChatModel | None = None
        self.tools = rights_tools(self._user_of_tool, self._background.run) if user_tools else []
        start_warm_up()

    # A turn begins: the newest mind, and the constraints that hold in it.

    def before_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any]:
        """Start a turn from the newest mind."""
        return self._background.run(self._begin(state, runtime, get_config(), is_sync=True))

    async def abefore_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any]:
        """Start a turn from the newest mind."""
        return await self._begin(state, runtime, get_config(), is_sync=False)

    async def _begin(
        self, state: AgentState[Any], runtime: Runtime[Any], config: RunnableConfig, *, is_sync: bool
    ) -> dict[str, Any]:
        home, thread_id = home_in(runtime.store, config, is_sync=is_sync), thread_in(config)
        if self._user_tools and home.store is None:
            raise ConfigurationError(
                "user_tools need a store: create_agent(..., store=InMemoryStore()), or leave user_tools out"
            )
        mine = self._runtime(runtime, home, thread_id)
        scheduler = self._thinking.scheduler(home)
        record = await begin_turn(record_in(state), state["messages"], thread_id, scheduler, mine)
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
        sight = self._background.run(self._sights.look(record, request.messages, context))
        call = Call(record, sight, context)
        response = handler(prepared(request, call, self._model_for(request, context), trim=self._trim))
        return marked(response, call, request.messages)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Ask the model with the mind in view, and hold its reply to the user's constraints."""
        record = self._record_in(request.state, request.messages)
        if not record["mark"]:
            return await handler(request)
        context = self._context_of(request)
        call = Call(record, await self._sights.look(record, request.messages, context), context)
        response = await handler(prepared(request, call, self._model_for(request, context), trim=self._trim))
        return marked(response, call, request.messages)

    def _record_in(self, state: Mapping[str, Any], messages: list[AnyMessage]) -> AgentRecord:
        """Return the record of the turn under way, without what the user has had erased in it."""
        record = record_in(state)
        return without_erased(record, tool_results(record, messages)) if self._user_tools else record

    # A tool is called: an action is held like a reply.

    def _record_of(self, request: ToolCallRequest) -> AgentRecord:
        return self._record_in(request.state, request.state["messages"])

    def for_subagents(self) -> AgentMiddleware[AgentState[Any], Any, Any]:
        """Return middleware for the agents that run in a tool of this one: subagents, or workers behind a tool.

        It holds their tool calls, as `on_action` says, to the constraints of the user whose turn it is. What they are
        asked is not the user's word, so it is not scanned, and their answers are guarded where this agent replies.
        Outside a tool call of this agent it holds nothing.
        """
        return HoldingMiddleware(self._on_action)

    # A turn has ended: the exchange is to be thought about.

    def after_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any]:
        """Hand over the exchange to be thought about. The reply is out by then."""
        return self._background.run(self._end(state, runtime, get_config(), _trace_headers(), is_sync=True))

    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any]:
        """Hand over the exchange to be thought about. The reply is out by then."""
        return await self._end(state, runtime, get_config(), _trace_headers(), is_sync=False)

    async def _end(
        self,
        state: AgentState[Any],
        runtime: Runtime[Any],
        config: RunnableConfig,
        trace: dict[str, str],
        *,
        is_sync: bool,
    ) -> dict[str, Any]:
        home, thread_id = home_in(runtime.store, config, is_sync=is_sync), thread_in(config)
        mine = self._runtime(runtime, home, thread_id)
        before = record_in(state)
        sight = self._sights.sight_of(before)
        record = end_turn(before, state["messages"], mine.context, user_of(mine), sight.words if sight else None)
        if record is before:
            return {}
        context = self._thinking_context(replace(mine.context, user_id=user_of(mine)))
        try:
            await share_unread(record, mine)
        finally:
            await self._thinking.schedule(AgentThread.here(thread_id, home, record, context), trace)
        return {KEY: record, "messages": self._unmarked_reply(before, state["messages"], mine.context)}

    def _unmarked_reply(
        self, record: AgentRecord, messages: list[AnyMessage], context: MirrorContext
    ) -> list[AnyMessage]:
        """Return the reply of a turn that no call of the model ended, marked, and the note that it may need.

        That is the result of a tool that is returned as it is, or what other middleware has ended the run with.
        """
        reply = reply_to(record, messages)
        if reply is None or "turn" in reply.message.response_metadata.get("mirror", {}):
            return []
        sight = self._sights.sight_of(record)
        note = note_on(reply.text, record, sight.words if sight else Relevant(None), messages, context)
        return [mark_reply(reply.message, record), *([note] if note else [])]

    # A supervisor speaks for itself: only the guard is there.

    def for_supervisor(self) -> Runnable[Any, dict[str, Any]]:
        """Return a `post_model_hook` for `create_supervisor`, whose agent takes no middleware.

        A reply of the supervisor's own that needs a note gets it as a message of its own. It is held to what the
        workers of its thread know. It is no turn of the mind: only workers with this middleware have those.
        """
        return RunnableLambda(self._supervise, afunc=self._asupervise, name="mirror_guard")

    def _supervise(self, state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return self._background.run(self._note_for_supervisor(state["messages"], get_runtime(), config, is_sync=True))

    async def _asupervise(self, state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
        return await self._note_for_supervisor(state["messages"], get_runtime(), config, is_sync=False)

    async def _note_for_supervisor(
        self, messages: list[AnyMessage], runtime: Runtime[Any], config: RunnableConfig, *, is_sync: bool
    ) -> dict[str, Any]:
        *before, reply = messages
        if not isinstance(reply, AIMessage) or reply.tool_calls:
            return {}
        # What the user said last waits for this reply, even if a worker has replied to it already.
        asked = [place for place, message in enumerate(before) if isinstance(message, HumanMessage)]
        if not asked:
            return {}
        home, thread_id = home_in(runtime.store, config, is_sync=is_sync), thread_in(config)
        mine = self._runtime(runtime, home, thread_id)
        words = before[: asked[-1] + 1]
        record = await begin_turn(empty_record(), words, thread_id, self._thinking.scheduler(home), mine)
        sight = await self._sights.look(record, before, mine.context)
        note = note_on(reply.text, record, sight.words, before, mine.context)
        return {"messages": [note]} if note else {}

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
        user_id = user_of(mine)
        assert mine.store is not None  # checked as the run began
        assert user_id is not None
        return mine.store, user_id

    def _context_in(self, of_run: object) -> MirrorContext:
        if self._context is None and isinstance(of_run, MirrorContext):
            return of_run
        return self._context or MirrorContext()

    def _context_of(self, request: ModelRequest[Any]) -> MirrorContext:
        """Return the context of a call; the model that is asked is from now on the one that thinks."""
        self._model = request.model
        context = self._context_in(request.runtime.context)
        return self._thinking_context(context) or context

    def _thinking_context(self, context: MirrorContext) -> MirrorContext | None:
        """Return the context that thinking starts from, or None if the agent's model is not known in this process."""
        if self._model is None:
            return context if context.thinker_model and context.synthesis_model else None
        if isinstance(self._model, ModelOfContext):
            return context
        return replace(context, talker_model=self._model)

    def _model_for(self, request: ModelRequest[Any], context: MirrorContext) -> BaseChatModel:
        if not isinstance(request.model, ModelOfContext):
            return request.model
        return chat_model(context.talker_model, temperature=context.temperature, max_tokens=REPLY_TOKENS)


def _trace_headers() -> dict[str, str]:
    run = get_current_run_tree()
    return dict(run.to_headers()) if run else {}
