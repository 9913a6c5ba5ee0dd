"""The models of a run on Inspect's side, by our names."""

import os
from typing import Any, cast

from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    get_model,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import SecretStr

from mirror_graph.errors import ConfigurationError
from mirror_graph.models import chat_model
from mirror_graph.state.usage import usage_of

OPENAI = "https://api.openai.com/v1"


def inspect_model(name: str, config: GenerateConfig | None = None) -> Model:
    """Return the Inspect model for `openai:NAME`, `local:NAME`, `scripted:NAME` or Inspect's own `PROVIDER/NAME`.

    `openai:` honours OPENAI_API_KEY and OPENAI_BASE_URL, as everywhere else in this package.

    Raises `ConfigurationError` for an unknown provider and for a missing key.
    """
    provider, _, model = name.partition(":")
    config = config or GenerateConfig()
    if provider == "local" and model:
        return get_model(f"mirror-local/{model}", config=config, memoize=False)
    if provider == "openai" and model:
        address, key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
        if not address and not key:
            raise ConfigurationError(f"{name} needs OPENAI_API_KEY, or OPENAI_BASE_URL for another endpoint")
        name, address, key = f"mirror-endpoint/{model}", address or OPENAI, key or "none"
        return get_model(name, config=config, base_url=address, api_key=key, memoize=False)
    if provider == "scripted" and model:
        return get_model(f"mirror-scripted/{model}", config=config, memoize=False)
    if "/" in name:
        try:
            return get_model(name, config=config, memoize=False)
        except (ValueError, PrerequisiteError) as error:
            raise ConfigurationError(f"unknown model {name!r}: {getattr(error, 'message', error)}") from error
    raise ConfigurationError(_unknown(name))


def check_name(name: str) -> None:
    """Raise `ConfigurationError` for a name that `inspect_model` cannot know, without a key or a call."""
    provider, _, model = name.partition(":")
    if "/" not in name and not (provider in ("openai", "local", "scripted") and model):
        raise ConfigurationError(_unknown(name))


def _unknown(name: str) -> str:
    return f"unknown model {name!r}: expected openai:NAME, local:NAME or Inspect's PROVIDER/NAME"


@modelapi(name="mirror-endpoint")
def endpoint_api() -> Any:
    """Serve whatever speaks OpenAI's protocol to Inspect, with MIRROR's own lean requests."""
    from inspect_ai.model._providers.openai_compatible import OpenAICompatibleAPI
    from openai import AsyncOpenAI, NotGiven
    from openai.types.chat import ChatCompletion

    from mirror_graph.models.fast_openai import LeanCompletions

    class Completions(LeanCompletions):
        async def create(self, **body: Any) -> Any:
            given = {name: value for name, value in body.items() if not isinstance(value, NotGiven)}
            return ChatCompletion.construct(**await super().create(**given))

    class EndpointAPI(OpenAICompatibleAPI):
        def __init__(
            self,
            model_name: str,
            base_url: str | None = None,
            api_key: str | None = None,
            config: GenerateConfig = GenerateConfig(),  # noqa: B008  # Inspect's own signature
        ) -> None:
            super().__init__(f"endpoint/{model_name}", base_url, api_key, config, service="endpoint")

        def connection_key(self) -> str:
            return str(self.base_url)  # the model under test and its judge share an endpoint's connections

        def _create_client(self) -> AsyncOpenAI:
            client = super()._create_client()
            client.chat.completions = Completions(client)  # type: ignore[misc]  # a cached property
            return client

    return EndpointAPI


@modelapi(name="mirror-scripted")
def scripted_api() -> Any:
    """Serve `scripted:` models, which answer in this process: those of tests, and those that were trained here."""

    class ScriptedAPI(ModelAPI):
        async def generate(
            self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
        ) -> ModelOutput:
            model = chat_model(f"scripted:{self.model_name}", temperature=0.0, max_tokens=config.max_tokens or 1)
            kinds = {"system": SystemMessage, "assistant": AIMessage}
            said = await model.ainvoke([kinds.get(message.role, HumanMessage)(message.text) for message in input])
            usage = usage_of(said)
            output = ModelOutput.from_content(self.model_name, said.text)
            output.usage = ModelUsage(
                input_tokens=usage["input"],
                output_tokens=usage["output"],
                total_tokens=usage["input"] + usage["output"],
            )
            return output

    return ScriptedAPI


@modelapi(name="mirror-local")
def local_api() -> Any:
    """Serve `local:` models, on this package's engine, to Inspect."""
    from inspect_ai.model._providers.openai_compatible import OpenAICompatibleAPI
    from openai import AsyncOpenAI

    from mirror_graph.models.local import LocalModel, engine_address, prefix_lock

    class LocalAPI(OpenAICompatibleAPI):
        continues_prefix = LocalModel.continues_prefix

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
            async with prefix_lock(message.text for message in input[:2]):
                return await super().generate(input, *args, **kwargs)

    return LocalAPI
