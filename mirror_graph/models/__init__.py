"""From a model's name to a chat model."""

import importlib
import importlib.util
import logging
import os
from functools import cache, lru_cache
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel

from mirror_graph.errors import ConfigurationError
from mirror_graph.model_names import EXPECTED_CHAT, split_chat_name
from mirror_graph.models.finish_reason import FinishReason, ending, finish_reason, is_complete, refusal_text
from mirror_graph.models.reasoning import closes_reasoning, without_reasoning, without_reasoning_in
from mirror_graph.models.retry import is_transient
from mirror_graph.models.scripted import (
    ScriptedModel,
    register_model,
    register_script,
    registered_model,
    scripted_model,
)
from mirror_graph.models.visible import REASONED_ABOVE, VisibleModel

log = logging.getLogger(__name__)

__all__ = [
    "REASONED_ABOVE",
    "FinishReason",
    "ScriptedModel",
    "chat_model",
    "closes_reasoning",
    "ending",
    "finish_reason",
    "is_complete",
    "is_transient",
    "refusal_text",
    "register_model",
    "register_script",
    "scripted_model",
    "stop_local_models",
    "visible_model",
    "without_reasoning",
    "without_reasoning_in",
]

CONNECT_SECONDS = 10.0


def chat_model(name: str | BaseChatModel, *, temperature: float | None, max_tokens: int) -> BaseChatModel:
    """Return the chat model a name stands for, the same object for the same arguments; a model is returned as it is.

    A `temperature` of None is not sent. A call is made again only without a parameter that the endpoint refuses and,
    but for connecting, none is timed: both are the caller's. `scripted:` models use `temperature` and `max_tokens`
    only where `register_model` was given a function of them.

    Raises `ConfigurationError` for an unknown name, a missing key or a missing package, and `ModelFileError` for a
    local model that was not downloaded.
    """
    if isinstance(name, BaseChatModel):
        return name
    provider, model = split_chat_name(name)
    match provider:
        case "openai":
            base_url = os.environ.get("OPENAI_BASE_URL") or None
            return _openai_model(model, temperature, max_tokens, os.environ.get("OPENAI_API_KEY"), base_url)
        case "local":
            return _local_model(model, temperature, max_tokens, os.environ.get("MIRROR_CACHE_DIR"))
        case "scripted":
            return registered_model(model, temperature, max_tokens)
        case _:
            return _provider_model(name, temperature, max_tokens)


def visible_model(name: str | BaseChatModel, *, temperature: float | None, max_tokens: int) -> VisibleModel:
    """Return the chat model a name stands for, so wrapped that its reasoning reaches no reader and no stream.

    Raises as `chat_model` does.
    """
    model = chat_model(name, temperature=temperature, max_tokens=max_tokens)
    if id(model) not in _visible:
        if len(_visible) >= VISIBLE_LIMIT:
            _visible.pop(next(iter(_visible)))
        _visible[id(model)] = VisibleModel.around(model)
    return _visible[id(model)]


VISIBLE_LIMIT = 1_000
"""The most models that are remembered: a host may make an object per request."""

_visible: dict[int, VisibleModel] = {}  # each holds its model, so that the id stays its own


def stop_local_models() -> None:
    """Stop the local engines and free their memory; the next call to a local model starts a new one."""
    if importlib.util.find_spec("xllamacpp"):
        from mirror_graph.models.local import stop_engines

        stop_engines()


@lru_cache
def _openai_model(
    model: str, temperature: float | None, max_tokens: int, api_key: str | None, base_url: str | None
) -> BaseChatModel:
    if not api_key:
        raise ConfigurationError(
            f"openai:{model} needs OPENAI_API_KEY; if the endpoint in OPENAI_BASE_URL needs no key, "
            "set any value, such as OPENAI_API_KEY=none"
        )
    from openai import Timeout
    from pydantic import SecretStr

    from mirror_graph.models.compatible import CompatibleChatOpenAI
    from mirror_graph.models.fast_openai import FastChatOpenAI, lean_is_possible
    from mirror_graph.models.http_client import shared_client

    if base_url is not None:
        _warn_of_plain_http(base_url)
    bounded_by_old_name = base_url is not None and not _speaks_newest_protocol(base_url)
    chat_openai = FastChatOpenAI if lean_is_possible() else CompatibleChatOpenAI
    return chat_openai(
        model=model,
        temperature=temperature,
        max_completion_tokens=None if bounded_by_old_name else max_tokens,
        extra_body={"max_tokens": max_tokens} if bounded_by_old_name else None,
        api_key=SecretStr(api_key),
        base_url=base_url,
        stream_usage=True,
        max_retries=0,
        timeout=Timeout(None, connect=CONNECT_SECONDS),
        stream_chunk_timeout=None,
        http_async_client=shared_client(),
        http_socket_options=(),
    )


@cache
def _warn_of_plain_http(base_url: str) -> None:
    """Say once that what users say would cross a network in clear."""
    parts = urlsplit(base_url)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        log.warning(
            "OPENAI_BASE_URL is %s://%s, so what users say, and the API key, cross the network in clear: use https",
            parts.scheme,
            parts.hostname,
        )


def _speaks_newest_protocol(base_url: str) -> bool:
    """Tell whether an endpoint knows `max_completion_tokens`, which others ignore (Ollama) or refuse (Mistral)."""
    host = urlsplit(base_url).hostname or ""
    return host.endswith(("openai.com", "azure.com"))


@lru_cache
def _local_model(model: str, temperature: float | None, max_tokens: int, cache_dir: str | None) -> BaseChatModel:
    if not importlib.util.find_spec("xllamacpp") or not importlib.util.find_spec("platformdirs"):
        raise ConfigurationError(f"local:{model} needs the local extra: pip install 'mirror-graph[local]'")
    from mirror_graph.models.local import LocalModel
    from mirror_graph.models.weights import find

    return LocalModel.of(find(model), temperature=temperature, max_tokens=max_tokens)


@lru_cache
def _provider_model(name: str, temperature: float | None, max_tokens: int) -> BaseChatModel:
    if not importlib.util.find_spec("langchain"):
        raise ConfigurationError(
            f"unknown model {name!r}: {EXPECTED_CHAT}, and PROVIDER:NAME needs pip install 'mirror-graph[providers]'"
        )
    providers = importlib.import_module("langchain.chat_models")
    warmth = {} if temperature is None else {"temperature": temperature}
    try:
        model: BaseChatModel = providers.init_chat_model(name, **warmth, max_tokens=max_tokens)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(f"unknown model {name!r}: {EXPECTED_CHAT}; {error}") from error
    return model
