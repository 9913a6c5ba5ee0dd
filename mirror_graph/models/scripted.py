"""A chat model that follows a script: no network, no randomness, the same reply every time."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableBinding
from pydantic import Field

from mirror_graph.errors import ConfigurationError
from mirror_graph.model_names import TOOLS_ADVICE
from mirror_graph.models.demo_script import demo

Script = Callable[[list[BaseMessage]], str]
"""What the model replies to these messages; it raises to let the call fail."""

ModelFactory = Callable[[float, int], BaseChatModel]
"""Make a model of this temperature, whose answers have at most so many tokens."""


CALLS = 100
"""How many calls a scripted model remembers."""


def _last_calls() -> deque[list[BaseMessage]]:
    return deque(maxlen=CALLS)


class ScriptedModel(BaseChatModel):
    """Reply with what a script returns, streamed word by word, and keep the last `CALLS` calls.

    It knows neither tools nor schemas, as the smallest real models do not: structured output is text to it.
    A token is four bytes, rounded up.
    """

    script: Script = Field(exclude=True)
    calls: deque[list[BaseMessage]] = Field(default_factory=_last_calls, exclude=True, repr=False)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _reply(self, messages: list[BaseMessage]) -> str:
        self.calls.append(list(messages))
        return self.script(messages)

    def _chunks(self, messages: list[BaseMessage]) -> Iterator[ChatGenerationChunk]:
        reply = self._reply(messages)
        for word in re.findall(r"\s*\S+\s*$|\s*\S+|\s+", reply):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        ending = AIMessageChunk(
            content="", usage_metadata=_usage(messages, reply), response_metadata=_ENDING, chunk_position="last"
        )
        yield ChatGenerationChunk(message=ending)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = self._reply(messages)
        message = AIMessage(content=reply, usage_metadata=_usage(messages, reply), response_metadata=_ENDING)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        await asyncio.sleep(0)
        return self._generate(messages)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages):
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages):
            await asyncio.sleep(0)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


def register_model(name: str, model: BaseChatModel | ModelFactory) -> str:
    """Make `scripted:NAME` stand for a model of one's own, and return that; a model of that name is replaced.

    A model is asked as it is, for replies and thoughts alike: `MirrorContext.temperature` and the bounds on a
    thought do not reach it. A function of `temperature` and `max_tokens` makes one that uses them; it is called
    once for the same arguments, with `None` for a temperature that is not to be sent.

    Raises `ConfigurationError` for a model with tools: a talker calls none.
    """
    if isinstance(model, RunnableBinding):
        raise ConfigurationError(TOOLS_ADVICE)
    _models[name] = model if isinstance(model, BaseChatModel) else lru_cache(model)
    return f"scripted:{name}"


def register_script(name: str, script: Script) -> ScriptedModel:
    """Make `scripted:NAME` follow a script, and return its model; a model of that name is replaced."""
    model = ScriptedModel(script=script)
    register_model(name, model)
    return model


def registered_model(name: str, temperature: float | None, max_tokens: int) -> BaseChatModel:
    """Return the live model behind `scripted:NAME`."""
    model = _registered(name)
    return model if isinstance(model, BaseChatModel) else model(cast(float, temperature), max_tokens)


def scripted_model(name: str) -> ScriptedModel:
    """Return the live model behind `scripted:NAME`, which follows a script; its `calls` are what the graph asked."""
    model = _registered(name)
    if not isinstance(model, ScriptedModel):
        raise ConfigurationError(f"scripted:{name} is a {type(model).__name__}: expected a ScriptedModel")
    return model


def _registered(name: str) -> BaseChatModel | ModelFactory:
    if name not in _models:
        raise ConfigurationError(f"unknown script {name!r}: expected one of {', '.join(map(repr, sorted(_models)))}")
    return _models[name]


def echo(messages: list[BaseMessage]) -> str:
    """Reply with the user's last words."""
    return next((str(message.text) for message in reversed(messages) if message.type == "human"), "")


def _usage(messages: list[BaseMessage], reply: str) -> UsageMetadata:
    asked, answered = sum(_tokens(message.text) for message in messages), _tokens(reply)
    return UsageMetadata(input_tokens=asked, output_tokens=answered, total_tokens=asked + answered)


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // 4)


_ENDING = {"finish_reason": "stop"}
_models: dict[str, BaseChatModel | ModelFactory] = {}
register_script("echo", echo)
register_script("demo", demo)
