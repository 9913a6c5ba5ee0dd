"""Models on both sides of Inspect: its models by our names, and a LangChain model whose calls it makes."""

import os
from collections.abc import AsyncIterator
from contextvars import ContextVar
from functools import cache
from typing import Any, cast

from inspect_ai.model import ChatMessage, GenerateConfig, Model, get_model, modelapi
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from mirror_graph.errors import ConfigurationError
from mirror_graph.models import chat_model, register_model


def inspect_model(name: str, config: GenerateConfig | None = None) -> Model:
    """Return the Inspect model for `openai:NAME`, `local:NAME` or any name of Inspect's own (`PROVIDER/NAME`).

    `openai:` honours OPENAI_API_KEY and OPENAI_BASE_URL, as everywhere else in this package.
    """
    provider, _, model = name.partition(":")
    config = config or GenerateConfig()
    if provider == "local" and model:
        return get_model(f"mirror-local/{model}", config=config, memoize=False)
    if provider == "openai" and model:
        address = os.environ.get("OPENAI_BASE_URL")
        if not address:
            return get_model(f"openai/{model}", config=config, memoize=False)
        key = os.environ.get("OPENAI_API_KEY", "none")
        return get_model(f"openai-api/endpoint/{model}", base_url=address, api_key=key, config=config, memoize=False)
    if "/" in name:
        return get_model(name, config=config, memoize=False)
    raise ConfigurationError(f"unknown model {name!r}: expected openai:NAME, local:NAME or Inspect's PROVIDER/NAME")


@modelapi(name="mirror-local")
def local_api() -> Any:
    """Serve `local:` models, on this package's engine, to Inspect."""
    from inspect_ai.model._providers.openai_compatible import OpenAICompatibleAPI
    from openai import AsyncOpenAI

    from mirror_graph.models.local import LocalModel, engine_address, turn_after

    class LocalAPI(OpenAICompatibleAPI):
        def __init__(
            self,
            model_name: str,
            base_url: str | None = None,
            api_key: str | None = None,
            config: GenerateConfig = GenerateConfig(),  # noqa: B008  # Inspect's own signature
        ) -> None:
            self._local = cast(LocalModel, chat_model(f"local:{model_name}", temperature=0.0, max_tokens=1))
            key = cast(SecretStr, self._local.openai_api_key).get_secret_value()
            # One address for every start of the engine: it is part of the cache's key.
            super().__init__(f"local/{model_name}", "http://localhost/v1", key, config, service="local")

        def _create_client(self) -> AsyncOpenAI:
            address = f"{engine_address(self._local.path)}/v1"
            return AsyncOpenAI(api_key=self.api_key, base_url=address, http_client=self.http_client)

        def service_model_name(self) -> str:
            return self.model_name.removeprefix("local/")

        async def generate(self, input: list[ChatMessage], *args: Any, **kwargs: Any) -> Any:
            async with turn_after(message.text for message in input[:2]):
                return await super().generate(input, *args, **kwargs)

    return LocalAPI


class BridgedModel(ChatOpenAI):
    """Let Inspect make the calls, so that they are cached, retried and logged; inside `agent_bridge()` only.

    It streams in one piece, since the bridge serves whole replies.
    """

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        _response_format.set(kwargs.get("response_format"))
        return await super()._agenerate(messages, stop, run_manager, **kwargs)

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


def whole_schema(model: Model, config: GenerateConfig) -> GenerateConfig:
    """Return `config` with the schema of the call under way as it was sent: Inspect's own has no bounds of lists.

    Only the providers that speak OpenAI's chat completions take it so.
    """
    from inspect_ai.model._providers.openai_compatible import OpenAICompatibleAPI

    asked_for = _response_format.get()
    if config.response_schema is None or asked_for is None or not isinstance(model.api, OpenAICompatibleAPI):
        return config
    return config.merge(GenerateConfig(extra_body={**(config.extra_body or {}), "response_format": asked_for}))


_response_format: ContextVar[dict[str, Any] | None] = ContextVar("response_format", default=None)
