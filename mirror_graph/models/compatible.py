"""A `ChatOpenAI` for endpoints that refuse parameters or report a refusal to answer in their own way."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI

from mirror_graph.models.refused import (
    is_about_this_call,
    leave_out,
    refused_parameter,
    refused_parameters,
    remember_refused,
    setting_error,
)


class CompatibleChatOpenAI(ChatOpenAI):
    """Makes a call again at once without the parameter that an endpoint refuses, and remembers it for the model.

    A refusal to answer (OpenAI's field `refusal`) arrives in `additional_kwargs`, streamed or not. A typed answer is
    never streamed, because half of one cannot be read.

    Raises `ConfigurationError` if the refused parameter cannot be left out and a setting decides on it.
    """

    def _get_request_payload(
        self, input_: Any, *, stop: list[str] | None = None, left_out: frozenset[str] = frozenset(), **kwargs: Any
    ) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
        refused = (left_out | self._refused_parameters) - {"stream"}
        return leave_out(payload, refused) if refused else payload

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        attempts = _Attempts(self, messages, kwargs)
        while True:
            try:
                result = super()._generate(messages, *args, **kwargs, left_out=attempts.left_out)
            except openai.APIStatusError as error:
                attempts.leave_out_what_is_refused(error)
            else:
                attempts.remember()
                return result

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        attempts = _Attempts(self, messages, kwargs)
        while True:
            try:
                result = await super()._agenerate(messages, *args, **kwargs, left_out=attempts.left_out)
            except openai.APIStatusError as error:
                attempts.leave_out_what_is_refused(error)
            else:
                attempts.remember()
                return result

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        attempts = _Attempts(self, messages, kwargs, streams=True)
        while attempts.streams:
            try:
                for chunk in super()._stream(messages, *args, **kwargs, left_out=attempts.left_out):
                    attempts.remember()
                    yield chunk
            except openai.APIStatusError as error:
                attempts.leave_out_what_is_refused(error)
            else:
                return
        yield _as_chunk(self._generate(messages, *args, **kwargs))
        attempts.remember()

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        attempts = _Attempts(self, messages, kwargs, streams=True)
        while attempts.streams:
            try:
                async for chunk in super()._astream(messages, *args, **kwargs, left_out=attempts.left_out):
                    attempts.remember()
                    yield chunk
            except openai.APIStatusError as error:
                attempts.leave_out_what_is_refused(error)
            else:
                return
        yield _as_chunk(await self._agenerate(messages, *args, **kwargs))
        attempts.remember()

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        converted = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        for choice in chunk.get("choices") or []:
            if converted is not None and (refusal := (choice.get("delta") or {}).get("refusal")):
                converted.message.additional_kwargs["refusal"] = refusal
        return converted

    def _create_chat_result(
        self, response: dict[str, Any] | openai.BaseModel, generation_info: dict[str, Any] | None = None
    ) -> ChatResult:
        result: ChatResult = super()._create_chat_result(response, generation_info)
        given = response if isinstance(response, dict) else response.model_dump(warnings=False)
        for generation, choice in zip(result.generations, given["choices"], strict=True):
            if refusal := choice["message"].get("refusal"):
                generation.message.additional_kwargs["refusal"] = refusal
        return result

    @property
    def _refused_parameters(self) -> frozenset[str]:
        return refused_parameters(*self._where)

    @property
    def _where(self) -> tuple[str, str]:
        return self.openai_api_base or "", self.model_name


class _Attempts:
    """The attempts at one call: what has been left out so far, and what of it other calls are to know."""

    def __init__(
        self, model: CompatibleChatOpenAI, messages: list[BaseMessage], kwargs: dict[str, Any], *, streams: bool = False
    ) -> None:
        self.left_out: frozenset[str] = frozenset()
        self.streams = streams and "response_format" not in kwargs and "stream" not in model._refused_parameters
        self._lasting: frozenset[str] = frozenset()
        self._answered = False
        self._model = model
        self._messages = messages
        self._kwargs = kwargs

    def leave_out_what_is_refused(self, error: openai.APIStatusError) -> None:
        """Leave out one more parameter. Raises `error`, or what is to be set, if there is none to leave out."""
        sent = self._model._get_request_payload(self._messages, left_out=self.left_out, **self._kwargs)
        refused = None if self._answered else refused_parameter(error, sent)
        if refused is None or (refused == "stream" and not self.streams):
            wrong_setting = setting_error(error, self._model.model_name)
            if wrong_setting is not None:
                raise wrong_setting from error
            raise error
        self.left_out |= {refused}
        self.streams = self.streams and refused != "stream"
        if not is_about_this_call(error):
            self._lasting |= {refused}

    def remember(self) -> None:
        """Remember what was left out: without it the call was answered."""
        if self._lasting and not self._answered:
            remember_refused(*self._model._where, self._lasting)
        self._answered = True


def _as_chunk(result: ChatResult) -> ChatGenerationChunk:
    """Return a whole answer as the only piece of a stream."""
    [generation] = result.generations
    message = generation.message
    assert isinstance(message, AIMessage)
    chunk = AIMessageChunk(
        content=message.content,
        additional_kwargs=message.additional_kwargs,
        response_metadata={"model_provider": "openai", **message.response_metadata},
        tool_calls=message.tool_calls,
        invalid_tool_calls=message.invalid_tool_calls,
        usage_metadata=message.usage_metadata,
        id=message.id,
        chunk_position="last",
    )
    return ChatGenerationChunk(message=chunk, generation_info=generation.generation_info)
