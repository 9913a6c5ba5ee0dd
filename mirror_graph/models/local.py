"""A real model inside this process: llama.cpp with its OpenAI-compatible server on a loopback port."""

import asyncio
import importlib
import os
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from openai import DefaultHttpxClient
from pydantic import SecretStr

from mirror_graph.errors import ModelFileError
from mirror_graph.models.connections import shared_client

SLOTS = 4
CONTEXT = 32_768
PROMPT_CACHE_MIB = 512
MOST_THREADS = 16

# Any page in the user's browser can reach a loopback port, so the engine answers only who knows this.
_key = secrets.token_urlsafe()


class LocalModel(ChatOpenAI):
    """Talk to the engine of one model file, starting it at the first call.

    Calls that open alike take turns: a turn finds its prompt's beginning still computed by the one before,
    where side by side each would compute it again. On two cores this made three thinkers twice as fast
    and a reply among them three times as quick to start.
    """

    path: Path

    @classmethod
    def of(cls, path: Path, *, temperature: float, max_tokens: int) -> "LocalModel":
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
        async with _turn(messages):
            return await super()._agenerate(messages, stop, run_manager, **kwargs)

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        await asyncio.to_thread(self._connect)
        async with _turn(messages):
            async for chunk in super()._astream(messages, *args, **kwargs):
                yield chunk


def engine_address(path: Path) -> str:
    """Return where the engine of a model file listens, starting it if it is not running; that takes 2 to 12 s."""
    with _starting:
        if path not in _engines:
            _engines[path] = _start(path)
        return str(_engines[path].listening_address)


def stop_engines() -> None:
    """Stop every engine; calls under way fail."""
    with _starting:
        _engines.clear()


def _start(path: Path) -> Any:
    # Read when the library loads: threads that spin while they wait can cost tenfold on a shared machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    xllamacpp: Any = importlib.import_module("xllamacpp")

    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.model_alias = {path.stem}
    settings.api_keys = [_key]
    settings.n_parallel = SLOTS
    settings.kv_unified = True
    settings.n_ctx = CONTEXT
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0
    settings.cache_ram_mib = PROMPT_CACHE_MIB
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = min(os.cpu_count() or 1, MOST_THREADS)
    settings.verbosity = 0
    settings.ui = False
    settings.endpoint_slots = False
    try:
        return xllamacpp.Server(settings)
    except RuntimeError as error:
        raise ModelFileError(f"{path} cannot be loaded: expected a whole GGUF chat model", path=str(path)) from error


def _turn(messages: list[BaseMessage]) -> asyncio.Lock:
    opening = "\n".join(message.text[:OPENING] for message in messages[:2])
    return _turns.setdefault((asyncio.get_running_loop(), opening), asyncio.Lock())


OPENING = 256
_turns: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str], asyncio.Lock] = WeakValueDictionary()
_engines: dict[Path, Any] = {}
_starting = threading.Lock()
