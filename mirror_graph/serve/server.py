"""Run the application with uvicorn, and stop it within three seconds, open streams or not."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any

import uvicorn
from langsmith.utils import tracing_is_enabled

from mirror_graph.errors import ConfigurationError
from mirror_graph.host import open_mirror
from mirror_graph.scheduling.traces import hide_words_in_traces
from mirror_graph.serve.app import create_app
from mirror_graph.serve.settings import ServeSettings
from mirror_graph.state import MirrorContext

PATIENCE = 1
"""How many seconds requests under way may go on after the signal to stop. Then they are cancelled."""

DRAIN = 0.5
"""How many seconds thinking may then go on. What it does not reach is thought about later."""


async def serve(
    database: str | None,
    *,
    context: MirrorContext,
    settings: ServeSettings,
    port: int,
    started: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGINT or SIGTERM. `started` is called with the server's address once it answers.

    With LangSmith tracing, no words of a conversation are sent, unless `MIRROR_TRACE_WORDS` is `true`.

    Raises `ConfigurationError` if the address cannot be listened on, and the errors of `open_mirror`.
    """
    if tracing_is_enabled():  # else there is no client: a new one calls LangSmith at once
        hide_words_in_traces()
    stop = asyncio.Event()
    with _listen(settings.host, port) as listening, _stopping_on_signals(stop):
        async with open_mirror(database, context=context, drain=DRAIN, transcripts=True) as mirror:
            app = create_app(mirror, settings=settings)
            config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=PATIENCE)
            server = _Server(config, started)
            running = asyncio.create_task(server.serve(sockets=[listening]))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            app.state.stopping.set()
            server.should_exit = True
            stopping.cancel()
            await running


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}. Choose another with --host or --port"
        ) from error


class _Server(uvicorn.Server):
    """A server that says where it listens, and leaves signals alone: the database must be closed after it."""

    def __init__(self, config: uvicorn.Config, started: Callable[[str], None]) -> None:
        super().__init__(config)
        self._say_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = (sockets or [])[0].getsockname()[:2]
            self._say_started(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


@contextmanager
def _stopping_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM set `stop`, and nothing else, for the length of the block."""
    loop = asyncio.get_running_loop()

    def set_stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.set)

    before: dict[int, Any] = {number: signal.signal(number, set_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
