"""The LangChain side of the model under test: Inspect makes its calls."""

import re
from collections.abc import AsyncIterator
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
from inspect_ai.util import JSONSchema
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from mirror_graph.models import register_model


class BridgedModel(ChatOpenAI):
    """Let Inspect make the calls, so that they are cached, retried and logged; inside `agent_bridge()` only.

    A call with tools takes the bridge, any other goes to Inspect at once: the bridge's own client, and what it checks
    of every message, were half of the harness's time. It streams in one piece, since Inspect serves whole replies.
    """

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        steady = [it.model_copy(update={"content": _steady(it.content, len(messages))}) for it in messages]
        if "tools" in kwargs:
            return await super()._agenerate(steady, stop, run_manager, **kwargs)
        model = get_model()
        config = GenerateConfig(max_tokens=self.max_tokens, stop_seqs=stop)
        if asked_for := kwargs.get("response_format"):
            config = config.merge(_by_schema(asked_for, model))
        output = await model.generate([_spoken(it) for it in steady], config=config)
        return ChatResult(generations=[ChatGeneration(message=_answer(output))])

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
def bridged_model(max_tokens: int) -> BridgedModel:
    """Return the LangChain side of the model under test; an answer has at most `max_tokens` tokens."""
    key = SecretStr("none")
    return BridgedModel(model="inspect", api_key=key, max_completion_tokens=max_tokens, max_retries=0)


def bridged_name(max_tokens: int | None = None) -> str:
    """Return the name of the model under test for a `MirrorContext`: with bounds of MIRROR's own, or with this one."""
    return register_model(
        f"inspect-{max_tokens or 'own'}", lambda temperature, bound: bridged_model(max_tokens or bound)
    )


def _spoken(message: BaseMessage) -> ChatMessage:
    match message:
        case SystemMessage():
            return ChatMessageSystem(content=message.text)
        case AIMessage():
            return ChatMessageAssistant(content=message.text)
        case _:
            return ChatMessageUser(content=message.text)


def _answer(output: ModelOutput) -> AIMessage:
    usage = output.usage or ModelUsage()
    heard = usage.input_tokens + (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
    ended = "length" if output.stop_reason in {"max_tokens", "model_length"} else output.stop_reason
    return AIMessage(
        output.completion,
        usage_metadata=UsageMetadata(
            input_tokens=heard, output_tokens=usage.output_tokens, total_tokens=heard + usage.output_tokens
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


def _steady(content: Any, count: int) -> Any:
    """Give the tags around the mind marks without chance, so that a call made again is found in the cache."""
    return _MARK.sub(f"mirror-{count:08x}", content) if isinstance(content, str) else content


_MARK = re.compile(r"mirror-[0-9a-f]{8}")
