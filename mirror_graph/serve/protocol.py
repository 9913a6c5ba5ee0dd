"""OpenAI's chat protocol: what a request may say, and how a reply is written."""

import time
from typing import Annotated, Any, Literal
from uuid import uuid4

from langchain_core.messages import AIMessage, HumanMessage
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from openai.types.completion_usage import PromptTokensDetails
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from mirror_graph.models import FinishReason
from mirror_graph.serve.errors import ApiError
from mirror_graph.state import Tokens

MODEL, ASIDE_MODEL = "mirror", "mirror-aside"
"""The models of the endpoint: a conversation with a mind, and the same talker for a request that is no turn."""

PART_TYPES = ("text", "image_url", "input_audio", "file")

Finish = Literal["stop", "length", "content_filter"]

INSTRUCTIONS = ("system", "developer")


class ChatMessage(BaseModel):
    """One message of a request."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, JsonValue]] | None = None
    name: str | None = None


class StreamOptions(BaseModel):
    """What a stream holds besides the reply."""

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """A request for a completion. What is not named here is ignored, such as sampling values, `tools` and `user`."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, Field(json_schema_extra={"enum": [MODEL, ASIDE_MODEL]})]
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: dict[str, JsonValue] | None = None
    n: int | None = None
    stop: JsonValue = None
    tool_choice: JsonValue = None
    function_call: JsonValue = None
    response_format: JsonValue = None
    logprobs: bool | None = None
    modalities: list[str] | None = None


def check_parameters(request: ChatRequest) -> None:
    """Raise `ApiError` for a parameter that would change the reply, and that MIRROR does not have."""
    wants_text = request.response_format in (None, {"type": "text"})
    refused = {
        "n": request.n not in (None, 1),
        "stop": request.stop not in (None, [], ""),
        "tool_choice": request.tool_choice not in (None, "auto", "none"),
        "function_call": request.function_call not in (None, "auto", "none"),
        "response_format": not wants_text,
        "logprobs": bool(request.logprobs),
        "modalities": request.modalities not in (None, ["text"]),
    }
    for name, is_refused in refused.items():
        if is_refused:
            raise ApiError(400, f"{name} is not supported: leave it out", param=name, code="unsupported_parameter")


def instructions_of(request: ChatRequest) -> str:
    """Return the system messages of a request, which are the conversation's instructions."""
    return "\n\n".join(_text_of(message) for message in request.messages if message.role in INSTRUCTIONS)


def messages_of(request: ChatRequest) -> tuple[list[HumanMessage | AIMessage], HumanMessage]:
    """Return what both sides wrote before the last message, and the last message. Raises `ApiError`.

    Results of tools and calls without words are left out: no reply of MIRROR's asked for any.
    """
    last_place = len(request.messages) - 1
    if request.messages[last_place].role != "user":
        raise ApiError(400, "the last message must be the user's", param=f"messages.{last_place}.role")
    conversation: list[HumanMessage | AIMessage] = []
    for place, message in enumerate(request.messages):
        if message.role == "user":
            conversation.append(HumanMessage(_user_content(message, place), name=message.name))
        elif message.role == "assistant" and (text := _text_of(message)):
            conversation.append(AIMessage(text))
    return conversation[:-1], conversation[-1]  # type: ignore[return-value]  # the last message is the user's


def _user_content(message: ChatMessage, place: int) -> str | list[str | dict[Any, Any]]:
    if isinstance(message.content, list):
        for number, part in enumerate(message.content):
            if part.get("type") not in PART_TYPES:
                expected = ", ".join(PART_TYPES)
                where = f"messages.{place}.content.{number}.type"
                raise ApiError(400, f"unknown type of a content part: expected {expected}", param=where)
        return [dict(part) for part in message.content]
    return message.content or ""


def _text_of(message: ChatMessage) -> str:
    if isinstance(message.content, list):
        return "\n".join(str(part["text"]) for part in message.content if isinstance(part.get("text"), str))
    return message.content or ""


class Completion:
    """One reply in OpenAI's shapes: whole, or as the events of a stream."""

    def __init__(self, model: str) -> None:
        self._id = f"chatcmpl-{uuid4().hex}"
        self._created = int(time.time())
        self._model = model

    def whole(self, text: str, finish_reason: FinishReason, usage: Tokens) -> ChatCompletion:
        """Return the whole reply."""
        message = ChatCompletionMessage(role="assistant", content=text)
        return ChatCompletion(
            id=self._id,
            created=self._created,
            model=self._model,
            object="chat.completion",
            choices=[Choice(index=0, message=message, finish_reason=_finish(finish_reason), logprobs=None)],
            usage=_usage(usage),
        )

    def piece(self, text: str) -> str:
        """Return a piece of the reply as an event."""
        return self._event(ChoiceDelta(role="assistant", content=text))

    def end(self, finish_reason: FinishReason, usage: Tokens | None) -> str:
        """Return the events that end a stream; `usage` is None if the client did not ask for it."""
        events = self._event(ChoiceDelta(), _finish(finish_reason))
        if usage is not None:
            events += _event_of(self._chunk([]).model_copy(update={"usage": _usage(usage)}))
        return f"{events}data: [DONE]\n\n"

    def _event(
        self, delta: ChoiceDelta, finish_reason: Literal["stop", "length", "content_filter"] | None = None
    ) -> str:
        return _event_of(self._chunk([ChunkChoice(index=0, delta=delta, finish_reason=finish_reason)]))

    def _chunk(self, choices: list[ChunkChoice]) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=self._id,
            created=self._created,
            model=self._model,
            object="chat.completion.chunk",
            choices=choices,
        )


def _event_of(chunk: ChatCompletionChunk) -> str:
    return f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"


def _finish(reason: FinishReason) -> Finish:
    """Return why a reply ended, in OpenAI's words: whoever declines to answer has stopped, too."""
    return reason if reason in ("length", "content_filter") else "stop"


def _usage(tokens: Tokens) -> CompletionUsage:
    return CompletionUsage(
        prompt_tokens=tokens["input"],
        completion_tokens=tokens["output"],
        total_tokens=tokens["input"] + tokens["output"],
        prompt_tokens_details=PromptTokensDetails(cached_tokens=tokens["cached"]),
    )
