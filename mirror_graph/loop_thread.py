"""An event loop in a thread of its own, for code that does not run in one: a prompt, a web worker, a notebook cell."""

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from functools import cache
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class LoopThread:
    """Runs coroutines in a loop of another thread. Any number of threads may use it at once.

    Raises `RuntimeError` if the loop has ended, or if this process was forked from the one that runs the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
        self._loop = loop
        self._thread = thread
        self._process = os.getpid()
        self._ended = False
        self._lock = threading.Lock()

    def run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine to its end; Ctrl-C cancels it, once, and is raised when it has stopped.

        Raises `RuntimeError` if the loop's own thread calls it, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a synchronous call from inside the event loop that would run it: await the async one")
        done = threading.Event()
        tasks: list[asyncio.Task[_Result]] = []

        def begin() -> None:
            task = self._loop.create_task(coroutine)
            task.add_done_callback(lambda _: done.set())
            tasks.append(task)

        with self._running(coroutine):
            self._loop.call_soon_threadsafe(begin)
        try:
            done.wait()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            done.wait()
            raise
        return tasks[0].result()

    def start(self, coroutine: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        """Start a coroutine and return at once. It sees the context variables of its caller."""
        with self._running(coroutine):
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def end(self) -> None:
        """Stop the loop and wait for its thread. What still runs in it is cancelled; later calls are errors."""
        if not self._is_here():
            return
        with self._lock:
            self._ended = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def iterate(self, items: AsyncGenerator[_Result]) -> Generator[_Result]:
        """Iterate over an asynchronous generator; leaving early closes it."""
        try:
            while True:
                try:
                    item = self.run(_next_of(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            self.run(items.aclose())

    @contextmanager
    def opened(self, resource: AbstractAsyncContextManager[_Result]) -> Iterator[_Result]:
        """Open a resource in the loop for the length of the block."""
        value = self.run(resource.__aenter__())
        try:
            yield value
        finally:
            if self._is_here():  # a forked child leaves what its parent has open
                self.run(resource.__aexit__(None, None, None))

    @contextmanager
    def _running(self, coroutine: Coroutine[Any, Any, Any]) -> Iterator[None]:
        if not self._is_here():
            coroutine.close()
            raise RuntimeError(
                "opened before this process was forked, so its event loop is not here: open it in each worker"
            )
        # Under the lock, so that it is in the loop before `end` stops that, which cancels it: no caller waits for ever.
        with self._lock:
            if self._ended:
                coroutine.close()
                raise RuntimeError("used after it was closed: open it again")
            yield

    def _is_here(self) -> bool:
        return os.getpid() == self._process


@contextmanager
def open_loop_thread() -> Iterator[LoopThread]:
    """Run a loop in a thread for the length of the block."""
    started: Future[asyncio.AbstractEventLoop] = Future()

    def serve() -> None:
        # The runner is closed here, because the other thread may be running a loop of its own.
        with asyncio.Runner() as runner:
            started.set_result(runner.get_loop())
            runner.get_loop().run_forever()

    thread = threading.Thread(target=serve, name="mirror-loop", daemon=True)
    thread.start()
    loop = LoopThread(started.result(), thread)
    try:
        yield loop
    finally:
        loop.end()


@cache
def shared_loop_thread() -> LoopThread:
    """Return the loop thread that all graphs of the process share. It starts with the first call and ends at exit."""
    stack = ExitStack()
    shared = stack.enter_context(open_loop_thread())
    process = os.getpid()
    atexit.register(lambda: stack.close() if os.getpid() == process else None)
    return shared


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=shared_loop_thread.cache_clear)  # a thread does not survive a fork


async def _next_of(items: AsyncGenerator[_Result]) -> _Result:
    return await anext(items)
