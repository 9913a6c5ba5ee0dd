"""A chat model around another one, which holds its replies to the user's constraints."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, get_args

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding
from pydantic import ConfigDict, Field, SkipValidation

from mirror_graph.errors import ConfigurationError
from mirror_graph.guard.holding import HoldingWatch
from mirror_graph.guard.memory import noted_lately, request_in
from mirror_graph.guard.opening import OpeningWatch
from mirror_graph.guard.patience import aask_patiently, ask_patiently
from mirror_graph.guard.prefix import acontinues, continues
from mirror_graph.guard.reading import Case
from mirror_graph.guard.request import is_severe, read_request
from mirror_graph.guard.watch import Rule, Watch
from mirror_graph.models.wrapped import WrappedModel, settings_of
from mirror_graph.state.context import GuardMode
from mirror_graph.state.values import SafetyConstraint

READ_AFTER = 0.01
"""Seconds from a call of the model on in which its request has gone out, and no piece of an answer is due."""

_WATCHES: Mapping[str, type[Watch]] = {"note": Watch, "hold": HoldingWatch}


def guarded(
    model: BaseChatModel,
    constraints: Sequence[SafetyConstraint],
    *,
    guard: GuardMode | Rule = "note",
    guard_again: int = 5,
) -> BaseChatModel:
    """Return a chat model whose replies name each severe constraint that they or the request touch.

    The request is the user's last words in the messages that the model is called with. The pieces of `model` pass
    unchanged and at once. A reply that touches a constraint and is not aware of it is followed by one note, as one more
    piece of the same message. `response_metadata["mirror"]["guarded"]` says what was added.

    `guard` may also be `"open"`, `"hold"` or `"off"` (see `MirrorContext`), or a function that writes the note. A
    subject that was noted is left alone for `guard_again` turns, as long as the messages hold the earlier reply.
    Tools are bound to what is returned. Answers by a schema are not guarded.

    Raises `ConfigurationError` for an unknown `guard`, and for what is no chat model.
    """
    if callable(guard):
        return GuardedModel.around(model, constraints, guard="note", guard_again=guard_again, rule=guard)
    return GuardedModel.around(model, constraints, guard=guard, guard_again=guard_again)


class GuardedModel(WrappedModel):
    """Holds the replies of `model` to the user's constraints (see `guarded`).

    The inner model is asked within this model's own run, so callbacks and streams see each piece once.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    constraints: SkipValidation[Sequence[SafetyConstraint]] = Field(exclude=True, repr=False)
    guard: GuardMode
    guard_again: int
    rule: SkipValidation[Rule | None] = Field(None, exclude=True, repr=False)
    request: str | None = Field(None, exclude=True, repr=False)
    touched: SkipValidation[Collection[str] | None] = Field(None, exclude=True, repr=False)
    history: SkipValidation[Sequence[BaseMessage] | None] = Field(None, exclude=True, repr=False)
    opened_prompt: SkipValidation[Sequence[BaseMessage] | None] = Field(None, exclude=True, repr=False)

    @classmethod
    def around(
        cls,
        model: BaseChatModel,
        constraints: Sequence[SafetyConstraint],
        *,
        guard: GuardMode,
        guard_again: int,
        rule: Rule | None = None,
        request: str | None = None,
        touched: Collection[str] | None = None,
        history: Sequence[BaseMessage] | None = None,
        opened_prompt: Sequence[BaseMessage] | None = None,
    ) -> "GuardedModel":
        """Return a model around `model` that takes over its callbacks, tags and limits.

        A graph that lays out its own prompts gives the user's words as `request`, the ids of the constraints that they
        are known to touch as `touched`, and the conversation in which earlier notes are looked for as `history`.
        `opened_prompt` takes the place of the messages where the model goes on from a sentence that the guard began:
        what the sentence says already, the prompt need not say again.
        """
        if not isinstance(model, BaseChatModel):
            raise ConfigurationError(
                f"expected a chat model to guard, got {type(model).__name__}: guard it first, then bind its tools"
            )
        if guard not in get_args(GuardMode):
            raise ConfigurationError(f"unknown guard {guard!r}: expected one of {', '.join(get_args(GuardMode))}")
        return cls(
            model=model,
            constraints=constraints,
            guard=guard,
            guard_again=guard_again,
            rule=rule,
            request=request,
            touched=touched,
            history=history,
            opened_prompt=opened_prompt,
            **settings_of(model, "profile", "disable_streaming"),
        )

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**super()._identifying_params, "guard": self.guard}

    @property
    def model_name(self) -> str:
        """The name of the inner model, by which LangChain tells what it supports."""
        named = (getattr(self.model, field, None) for field in ("model_name", "model", "model_id"))
        return next((name for name in named if isinstance(name, str)), "")

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Bind tools as the inner model does, and stay guarded. Raises `ConfigurationError` for one that has none."""
        try:
            bound = self.model.bind_tools(tools, **kwargs)
        except NotImplementedError as error:
            raise ConfigurationError(
                f"{type(self.model).__name__} calls no tools: expected a model that does, such as openai:NAME"
            ) from error
        if isinstance(bound, BaseChatModel):
            return self.model_copy(update={"model": bound})
        if not isinstance(bound, RunnableBinding):
            raise ConfigurationError(f"{type(self.model).__name__} binds its tools in a way that cannot be guarded")
        return self.bind(**bound.kwargs)

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]:
        """Answer by a schema as the inner model does, unguarded: an answer that is data is not shown as it is."""
        return self.model.with_structured_output(schema, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        whole = partial(self._whole, stop=stop, **kwargs)
        return generate_from_stream(self._watched(messages, whole, kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        streams = self.model._should_stream(async_api=False, **{**kwargs, "stream": True})
        ask = partial(self.model._stream if streams else self._whole, stop=stop, **kwargs)
        yield from self._watched(messages, ask, kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        whole = partial(self._awhole, stop=stop, **kwargs)
        chunks = [chunk async for chunk in self._awatched(messages, whole, kwargs)]
        return generate_from_stream(iter(chunks))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        streams = self.model._should_stream(async_api=True, **{**kwargs, "stream": True})
        ask = partial(self.model._astream if streams else self._awhole, stop=stop, **kwargs)
        async for chunk in self._awatched(messages, ask, kwargs):
            yield chunk

    def _watched(
        self, messages: list[BaseMessage], ask: Any, kwargs: Mapping[str, Any]
    ) -> Iterator[ChatGenerationChunk]:
        watch = self._watch(messages, kwargs)
        if watch is None:
            yield from ask(messages)
            return
        if watch.wants_opening():
            yield from watch.open(continues=continues(self.model))
            ask = partial(ask_patiently, ask)
        for chunk in ask(watch.prompt(messages)):
            yield from watch.take(chunk)
        if watch.wants_retry():
            for chunk in ask(watch.prompt(messages)):
                yield from watch.take(chunk)
        yield from watch.end()

    async def _awatched(  # noqa: C901  # the twin of `_watched`: an async generator has no `yield from`
        self, messages: list[BaseMessage], ask: Any, kwargs: Mapping[str, Any]
    ) -> AsyncIterator[ChatGenerationChunk]:
        watch = self._watch(messages, kwargs)
        if watch is None:
            async for chunk in ask(messages):
                yield chunk
            return
        if watch.wants_opening():
            for piece in watch.open(continues=await acontinues(self.model)):
                yield piece
            ask = partial(aask_patiently, ask)
        # The request is read while the model is waited for, so that the first piece does not wait for it.
        reading = asyncio.get_running_loop().call_later(READ_AFTER, watch.prepare)
        try:
            async for chunk in ask(watch.prompt(messages)):
                for piece in watch.take(chunk):
                    yield piece
        finally:
            reading.cancel()
        if watch.wants_retry():
            async for chunk in ask(watch.prompt(messages)):
                for piece in watch.take(chunk):
                    yield piece
        for piece in watch.end():
            yield piece

    def _watch(self, messages: list[BaseMessage], kwargs: Mapping[str, Any]) -> Watch | None:
        """Return what watches this reply; None if there is nothing to watch, or if the answer is data."""
        if self.guard == "off" or "response_format" in kwargs or not any(map(is_severe, self.constraints)):
            return None
        if self.guard == "open":
            return OpeningWatch(lambda: self._case(messages), self.rule, self.opened_prompt)
        return _WATCHES[self.guard](lambda: self._case(messages), self.rule)

    def _case(self, messages: list[BaseMessage]) -> Case:
        request = request_in(messages) if self.request is None else self.request
        earlier = messages if self.history is None else self.history
        noted = noted_lately(earlier, self.guard_again, request)
        return Case(read_request(request, self.constraints, self.touched), noted)

    def _whole(self, messages: list[BaseMessage], **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield _one_piece(self.model._generate(messages, **kwargs))

    async def _awhole(self, messages: list[BaseMessage], **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        yield _one_piece(await self.model._agenerate(messages, **kwargs))


def _one_piece(result: ChatResult) -> ChatGenerationChunk:
    """Return a whole reply as one piece of a stream."""
    generation = result.generations[0]
    message = generation.message
    if not isinstance(message, AIMessage):
        raise ConfigurationError(f"expected the reply of a chat model, got {type(message).__name__}")
    calls = [
        tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=place)
        for place, call in enumerate(message.tool_calls)
    ]
    piece = AIMessageChunk(
        content=message.content,
        additional_kwargs=message.additional_kwargs,
        response_metadata={**(result.llm_output or {}), **message.response_metadata},
        usage_metadata=message.usage_metadata,
        tool_call_chunks=calls,
        id=message.id,
        name=message.name,
    )
    return ChatGenerationChunk(message=piece, generation_info=generation.generation_info)
