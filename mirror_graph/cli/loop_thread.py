"""An event loop on its own thread, so that the main thread can wait at a prompt and receive Ctrl-C."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class LoopThread:
    """Runs coroutines in an event loop on another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def start(self, coroutine: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        """Start a coroutine and return at once."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine to its end. Ctrl-C cancels it once, and is raised after it has stopped."""
        ended = threading.Event()
        tasks: list[asyncio.Task[_Result]] = []

        async def begin() -> None:
            tasks.append(asyncio.ensure_future(coroutine))
            tasks[0].add_done_callback(lambda _: ended.set())

        begun = self.start(begin())
        try:
            begun.result()
            ended.wait()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            ended.wait()
            raise
        return tasks[0].result()

    @contextmanager
    def opened(self, resource: AbstractAsyncContextManager[_Result]) -> Iterator[_Result]:
        """Open a resource in the loop for the duration of the block."""
        value = self.run(resource.__aenter__())
        try:
            yield value
        finally:
            self.run(resource.__aexit__(None, None, None))


@contextmanager
def loop_beside() -> Iterator[LoopThread]:
    """Run a loop on its own thread for the duration of the block."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever, name="mirror-loop", daemon=True)
        thread.start()
        try:
            yield LoopThread(loop)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
