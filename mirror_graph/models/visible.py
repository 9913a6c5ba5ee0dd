"""A chat model around another one that passes the answer on and removes the reasoning."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from mirror_graph.models.finish_reason import refusal_text
from mirror_graph.models.reasoning import BLOCK_TYPES, ReasoningFilter
from mirror_graph.models.wrapped import WrappedModel, settings_of

REASONED_ABOVE = "mirror_reasoned_above"
"""In the `additional_kwargs` of a piece: what came before it in the stream was reasoning after all."""

_REASONING_FIELDS = {"reasoning_content", "reasoning", "reasoning_details", "thinking"}

Content = str | list[str | dict[str, Any]]


class VisibleModel(WrappedModel):
    """Streams the answer of `model` in the same run, without its reasoning: no callback and no stream gets to see it.

    A refusal in a field of its own is part of the answer. A model whose prompt template
    opens the reasoning is known by its first answer; from then on its answers are held back until the reasoning ends.
    """

    _begins_inside: bool = PrivateAttr(False)

    @classmethod
    def around(cls, model: BaseChatModel) -> "VisibleModel":
        """Return a model around `model` that takes over its callbacks, tags and limits."""
        return cls(model=model, **settings_of(model))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return _visible_result(self.model._generate(messages, stop=stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return _visible_result(await self.model._agenerate(messages, stop=stop, **kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        began_inside = self._begins_inside
        reasoning = ReasoningFilter(inside=began_inside)
        async for chunk in self._pieces(messages, stop, **kwargs):
            piece = _visible_piece(chunk, reasoning)
            if REASONED_ABOVE in piece.message.additional_kwargs:
                self._begins_inside = True
            yield piece
        if rest := reasoning.end():
            yield ChatGenerationChunk(message=AIMessageChunk(content=rest))
        if began_inside and not reasoning.closed:
            self._begins_inside = False

    async def _pieces(
        self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        if self.model._should_stream(async_api=True, **{**kwargs, "stream": True}):
            async for chunk in self.model._astream(messages, stop=stop, **kwargs):
                yield chunk
            return
        result = await self.model._agenerate(messages, stop=stop, **kwargs)
        [generation] = result.generations
        whole = AIMessageChunk(**generation.message.model_dump(exclude={"type", "tool_calls", "invalid_tool_calls"}))
        yield ChatGenerationChunk(message=whole, generation_info=generation.generation_info)


class _Visible(NamedTuple):
    """The visible part of a content, and whether what came before it was reasoning after all."""

    content: Content
    restarts: bool


def _visible_piece(chunk: ChatGenerationChunk, reasoning: ReasoningFilter) -> ChatGenerationChunk:
    """Return a piece of a stream without reasoning. One that is nothing else stays, empty: the model is alive."""
    message = chunk.message
    visible = _visible(message.content, reasoning)
    noted = {key: value for key, value in message.additional_kwargs.items() if key not in _REASONING_FIELDS}
    if visible.restarts:
        noted[REASONED_ABOVE] = True
    content = visible.content
    refusal = refusal_text(message) if isinstance(message, AIMessage) else ""
    if content == message.content and noted == message.additional_kwargs and not refusal:
        return chunk
    if refusal:
        content = content + refusal if isinstance(content, str) else [*content, {"type": "text", "text": refusal}]
    piece = message.model_copy(update={"content": content, "additional_kwargs": noted})
    return ChatGenerationChunk(message=piece, generation_info=chunk.generation_info)


def _visible_result(result: ChatResult) -> ChatResult:
    for generation in result.generations:
        reasoning = ReasoningFilter()
        message = generation.message
        visible = _visible(message.content, reasoning).content
        rest = reasoning.end()
        message.content = visible + rest if isinstance(visible, str) else [*visible, rest]
        for field in _REASONING_FIELDS:
            message.additional_kwargs.pop(field, None)
    return result


def _visible(content: Content, reasoning: ReasoningFilter) -> _Visible:
    if isinstance(content, str):
        shown = reasoning.feed(content)
        return _Visible(shown.text, shown.restarts)
    blocks: list[str | dict[str, Any]] = []
    restarts = False
    for block in content:
        if isinstance(block, dict) and block.get("type") in BLOCK_TYPES:
            continue
        text = block if isinstance(block, str) else block.get("text")
        if not isinstance(text, str):
            blocks.append(block)
            continue
        shown = reasoning.feed(text)
        if shown.restarts:
            restarts = True
            blocks.clear()
        blocks.append(shown.text if isinstance(block, str) else {**block, "text": shown.text})
    return _Visible(blocks, restarts)
