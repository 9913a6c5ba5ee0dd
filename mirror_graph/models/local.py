"""A model on this machine: llama.cpp with its OpenAI-compatible server on a loopback port."""

import asyncio
import atexit
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from weakref import WeakValueDictionary

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from openai import DefaultHttpxClient
from pydantic import SecretStr

from mirror_graph.errors import ModelFileError
from mirror_graph.models import engine
from mirror_graph.models.http_client import shared_client

# Any page in the user's browser can reach a loopback port, so the engine answers only who knows this.
_key = secrets.token_urlsafe()


class LocalModel(ChatOpenAI):
    """Talk to the engine of one model file, starting it at the first call.

    Calls that open alike take turns: a turn finds its prompt's beginning still computed by the one before,
    where side by side each would compute it again. On two cores three thinkers of a new conversation took
    19 s instead of 43, and a reply asked for among them began after 3 s instead of 7.
    """

    continues_prefix: ClassVar[bool] = True
    """Whether the engine goes on from an assistant message that stands last."""

    path: Path

    @classmethod
    def of(cls, path: Path, *, temperature: float | None, max_tokens: int) -> "LocalModel":
        """Return a model over a file, without starting anything."""
        return cls(
            path=path,
            model=path.stem,
            temperature=temperature,
            max_completion_tokens=max_tokens,
            api_key=SecretStr(_key),
            base_url="http://127.0.0.1",
            stream_usage=True,
            max_retries=0,
            stream_chunk_timeout=None,
            http_client=DefaultHttpxClient(trust_env=False),
            http_async_client=shared_client(trust_env=False),
        )

    def _connect(self) -> None:
        address = f"{engine_address(self.path)}/v1/"
        self.root_client.base_url = self.root_async_client.base_url = address

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._connect()
        return super()._generate(messages, stop, run_manager, **kwargs)

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        self._connect()
        yield from super()._stream(messages, *args, **kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        await asyncio.to_thread(self._connect)
        async with prefix_lock(message.text for message in messages[:2]):
            return await super()._agenerate(messages, stop, run_manager, **kwargs)

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        await asyncio.to_thread(self._connect)
        async with prefix_lock(message.text for message in messages[:2]):
            async for chunk in super()._astream(messages, *args, **kwargs):
                yield chunk


class Engine(NamedTuple):
    """A running server of one model file."""

    process: subprocess.Popen[str]
    address: str


def engine_address(path: Path) -> str:
    """Return where the engine of a model file listens, starting it if it is not running; that takes 2 to 12 s."""
    with _starting:
        if path in _engines and _engines[path].process.poll() is not None:
            _stop(_engines.pop(path))
        if path not in _engines:
            _engines[path] = _start(path)
        return _engines[path].address


def stop_engines() -> None:
    """Stop every engine; calls under way fail."""
    with _starting:
        while _engines:
            _stop(_engines.popitem()[1])


def _stop(stopped: Engine) -> None:
    stopped.process.kill()
    stopped.process.communicate()


def _start(path: Path) -> Engine:
    # Threads that spin while they wait can cost tenfold on a shared machine.
    quiet = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-P", engine.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=quiet | os.environ,
        start_new_session=True,  # Ctrl-C is the host's to answer
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):  # it ended at once, and gives no address
        process.stdin.write(json.dumps({"path": str(path), "key": _key}) + "\n")
        process.stdin.flush()
    address = process.stdout.readline().strip()
    if not address:
        _stop(Engine(process, address))
        raise ModelFileError(f"cannot load {path}: expected a complete GGUF chat model", path=str(path))
    return Engine(process, address)


def prefix_lock(opening: Iterable[str]) -> asyncio.Lock:
    """Return the lock of the calls whose prompts open with these messages: hold it for the time of a call."""
    beginning = "\n".join(text[:OPENING] for text in opening)
    return _turns.setdefault((asyncio.get_running_loop(), beginning), asyncio.Lock())


OPENING = 256
_turns: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str], asyncio.Lock] = WeakValueDictionary()
_engines: dict[Path, Engine] = {}
_starting = threading.Lock()
atexit.register(stop_engines)
