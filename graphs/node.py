"""A step of a graph as LangGraph runs it: awaited or called, in the context of the run or the graph's own."""

from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, set_config_context
from langgraph.runtime import Runtime, get_runtime

from mirror_graph.encryption import seal_store
from mirror_graph.loop_thread import shared_loop_thread
from mirror_graph.state import MirrorContext

Step = Callable[[Any, Runtime[MirrorContext]], Awaitable[Any]]


class GraphNode(Runnable[Any, Any]):
    """Runs `step`, an asynchronous function of the state and the runtime, in asynchronous and synchronous runs.

    A run that brings no `MirrorContext` has `context`: one without a context, and one in a parent graph whose context
    is of another type. The store of a run encrypts, if there is a key. A synchronous run waits while the step runs in
    the process's loop thread.
    """

    def __init__(self, step: Step, context: MirrorContext | None, name: str | None = None) -> None:
        self.name = name
        self.step = step
        self.context = context

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Await the step."""
        with set_config_context(ensure_config(config)) as run:
            runtime: Runtime[MirrorContext] = run.run(get_runtime)
        if runtime.store is not None:
            runtime = runtime.override(store=seal_store(runtime.store))
        if self.context is not None and not isinstance(runtime.context, MirrorContext):
            runtime = runtime.override(context=self.context)
        return await self.step(input, runtime)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Wait for the step, which runs in the loop thread."""
        return shared_loop_thread().run(self.ainvoke(input, config))
