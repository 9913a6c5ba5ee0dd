"""What a program does with an agent's minds from outside of its runs, with an event loop or without one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from mirror_graph.agents.background import BackgroundLoop
from mirror_graph.agents.thinking import Thinking
from mirror_graph.errors import ConfigurationError
from mirror_graph.host.mind import Mind

_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class Handles:
    """Waits for thinking, shows minds, and ends it all. Each method has a twin for programs without an event loop."""

    def __init__(self) -> None:
        self._thinking = Thinking()
        self._background = BackgroundLoop()

    async def settle(self, thread_id: str, timeout: float | None = None) -> bool:  # noqa: ASYNC109  # as a conversation's
        """Wait until thinking has caught up with a thread, `timeout` seconds at most.

        False if it has not: the time was up, thinking is paused, or the pass failed (see `mind`).
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._thinking.settle(thread_id)
        except TimeoutError:
            return False

    async def mind(self, thread_id: str) -> Mind:
        """Return what is thought about a thread so far.

        Raises `ConfigurationError` in a process in which the agent has not run yet, since its store is not known.
        """
        return await self._thinking.mind(thread_id)

    async def forget(self, thread_id: str) -> None:
        """Erase the mind of a thread from the agent's store.

        Raises `ConfigurationError` if the mind is in a checkpointer: there it goes when the thread is deleted.
        """
        await self._thinking.forget(thread_id)

    async def aclose(self, drain: float = 0.0) -> None:
        """End the passes of this event loop, after `drain` seconds at most. A later turn takes over what is left."""
        await self._thinking.close(drain)

    def settle_sync(self, thread_id: str, timeout: float | None = None) -> bool:
        """Do as `settle` does, in a program without an event loop."""
        return self._run(self.settle, thread_id, timeout)

    def mind_sync(self, thread_id: str) -> Mind:
        """Do as `mind` does, in a program without an event loop."""
        return self._run(self.mind, thread_id)

    def forget_sync(self, thread_id: str) -> None:
        """Do as `forget` does, in a program without an event loop."""
        self._run(self.forget, thread_id)

    def close(self, drain: float = 0.0) -> None:
        """Do as `aclose` does, in a program without an event loop."""
        self._run(self.aclose, drain)
        self._background.close()

    def _run(
        self,
        method: Callable[_Arguments, Coroutine[Any, Any, _Result]],
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> _Result:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._background.run(method(*args, **kwargs))
        raise ConfigurationError(f"an event loop is running here: await {method.__name__} instead of its sync twin")
