"""The model under test as its arms see it: every call is Inspect's, and what is no answer is an error."""

import re
from collections.abc import AsyncIterator, Sequence
from functools import cache
from typing import Any, cast

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    Model,
    ModelOutput,
    ModelUsage,
    ResponseSchema,
    get_model,
)
from inspect_ai.tool import ToolChoice, ToolFunction, ToolInfo, ToolParams
from inspect_ai.util import JSONSchema
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from mirror_graph.errors import MirrorError
from mirror_graph.models import register_model
from mirror_graph.prompts import is_all_tags


class NoAnswerError(MirrorError):
    """The model under test, asked twice, gave no answer: nothing, or an error that a provider sends as a reply."""

    def __init__(self, model: str, stop_reason: str, said: str) -> None:
        super().__init__(f"{model} gave no answer ({stop_reason}): {said!r}; expected words")
        self.model = model
        self.stop_reason = stop_reason
        self.said = said


async def answer(
    messages: list[ChatMessage],
    config: GenerateConfig,
    tools: Sequence[ToolInfo] = (),
    tool_choice: ToolChoice | None = None,
) -> ModelOutput:
    """Ask the model under test. Every arm's calls are made here, so that one arm's failure is every arm's.

    What is no answer is asked for once more, past the cache, which would only repeat it.

    Raises `NoAnswerError`.
    """
    model = get_model()
    output = await model.generate(messages, tools, tool_choice, config)
    if not _is_answer(output):
        output = await model.generate(messages, tools, tool_choice, config, cache=False)
    if not _is_answer(output):
        raise NoAnswerError(str(model), output.stop_reason, output.completion)
    return output


def _is_answer(output: ModelOutput) -> bool:
    """Tell whether a model said something itself.

    Of a prompt it refuses, a provider makes a reply that says so; the tag around the mind alone is no reply either.
    """
    called = output.choices[0].message.tool_calls if output.choices else None
    return output.stop_reason not in {"model_length", "content_filter"} and bool(
        called or (output.completion.strip() and not is_all_tags(output.completion))
    )


class InspectModel(ChatOpenAI):
    """A chat model of LangChain's whose calls Inspect makes, so that they are cached, retried and logged.

    It streams in one piece, since Inspect serves whole replies.
    """

    continues_prefix: bool | None = None
    """Whether the engine goes on from an assistant message that stands last; None if that has to be tried."""

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        config = GenerateConfig(max_tokens=self.max_tokens, stop_seqs=stop)
        if asked_for := kwargs.get("response_format"):
            config = config.merge(_by_schema(asked_for, get_model()))
        tools = [_tool(tool["function"]) for tool in kwargs.get("tools", [])]
        choice = kwargs.get("tool_choice")
        forced = ToolFunction(choice["function"]["name"]) if isinstance(choice, dict) else None
        output = await answer([_chat_message(message, len(messages)) for message in messages], config, tools, forced)
        return ChatResult(generations=[ChatGeneration(message=_message(output))])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        result = await self._agenerate(messages, stop, run_manager, **kwargs)
        said = cast(AIMessage, result.generations[0].message)
        chunk = AIMessageChunk(
            content=said.content,
            id=said.id,
            usage_metadata=said.usage_metadata,
            response_metadata=said.response_metadata,
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=chunk)


@cache
def model_under_test(max_tokens: int) -> InspectModel:
    """Return the LangChain side of the model under test; an answer has at most `max_tokens` tokens.

    It has the name and the address of the model under test, by which the guard knows what an endpoint can do.
    """
    api = get_model().api
    return InspectModel(
        model=api.model_name,
        base_url=api.base_url,
        api_key=SecretStr("none"),
        max_completion_tokens=max_tokens,
        continues_prefix=getattr(api, "continues_prefix", None),
    )


def name_under_test(max_tokens: int | None = None) -> str:
    """Return the name of the model under test for a `MirrorContext`: with bounds of MIRROR's own, or with this one."""
    return register_model(
        f"inspect-{max_tokens or 'own'}", lambda temperature, bound: model_under_test(max_tokens or bound)
    )


def _chat_message(message: BaseMessage, count: int) -> ChatMessage:
    """Turn a message into Inspect's; without chance in the tags around the mind, a call made again is in the cache."""
    text = _MARK.sub(f"mirror-{count:08x}", message.text)
    match message:
        case SystemMessage():
            return ChatMessageSystem(content=text)
        case AIMessage():
            return ChatMessageAssistant(content=text)
        case _:
            return ChatMessageUser(content=text)


def _tool(function: dict[str, Any]) -> ToolInfo:
    name, parameters = function["name"], ToolParams.model_validate(function["parameters"])
    return ToolInfo(name=name, description=function.get("description") or name, parameters=parameters)


def _message(output: ModelOutput) -> AIMessage:
    usage = output.usage or ModelUsage()
    input_tokens = usage.input_tokens + (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
    ended = "length" if output.stop_reason == "max_tokens" else output.stop_reason
    calls = (output.choices[0].message.tool_calls if output.choices else None) or []
    return AIMessage(
        output.completion,
        tool_calls=[{"name": call.function, "args": call.arguments, "id": call.id} for call in calls],
        usage_metadata=UsageMetadata(
            input_tokens=input_tokens,
            output_tokens=usage.output_tokens,
            total_tokens=input_tokens + usage.output_tokens,
        ),
        response_metadata={"finish_reason": ended, "model_name": output.model},
    )


def _by_schema(asked_for: dict[str, Any], model: Model) -> GenerateConfig:
    """Ask by the schema as it was sent, where the provider speaks OpenAI's chat completions.

    Inspect's own, which the others are given, has no bounds of lists.
    """
    from inspect_ai.model._providers.openai_compatible import OpenAICompatibleAPI

    if isinstance(model.api, OpenAICompatibleAPI):
        return GenerateConfig(extra_body={**(model.config.extra_body or {}), "response_format": asked_for})
    if asked_for["type"] != "json_schema":
        raise NotImplementedError(f"Inspect asks {model} for no {asked_for['type']!r}: expected 'json_schema'")
    described = asked_for["json_schema"]
    schema = JSONSchema.model_validate(described["schema"])
    return GenerateConfig(response_schema=ResponseSchema(name=described["name"], json_schema=schema))


_MARK = re.compile(r"mirror-[0-9a-f]{8}")
