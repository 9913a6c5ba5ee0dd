"""From a model's name to an embeddings model."""

import importlib
import importlib.util
import os
from functools import lru_cache

from langchain_core.embeddings import Embeddings

from mirror_graph.errors import ConfigurationError
from mirror_graph.model_names import EXPECTED_EMBEDDINGS, split_embeddings_name


def embeddings_model(name: str) -> Embeddings:
    """Return the embeddings model a name stands for, the same object for the same name and environment.

    No call is retried and none is timed: both are the caller's. Raises `ConfigurationError` for an unknown name,
    a missing key or a missing package.
    """
    provider, model = split_embeddings_name(name)
    if provider == "openai":
        return _openai(model, os.environ.get("OPENAI_API_KEY"), os.environ.get("OPENAI_BASE_URL") or None)
    return _of_provider(name)


@lru_cache
def _openai(model: str, api_key: str | None, base_url: str | None) -> Embeddings:
    if not api_key:
        raise ConfigurationError(f"openai:{model} needs OPENAI_API_KEY; if the endpoint needs no key, set any value")
    from langchain_openai import OpenAIEmbeddings
    from pydantic import SecretStr

    from mirror_graph.models.http_client import shared_client

    return OpenAIEmbeddings(
        model=model,
        api_key=SecretStr(api_key),
        base_url=base_url,
        max_retries=0,
        check_embedding_ctx_length=False,  # it would send tokens of OpenAI's, which other endpoints do not know
        model_kwargs={"encoding_format": "float"},
        http_async_client=shared_client(),
    )


@lru_cache
def _of_provider(name: str) -> Embeddings:
    if not importlib.util.find_spec("langchain"):
        raise ConfigurationError(
            f"unknown embeddings model {name!r}: {EXPECTED_EMBEDDINGS}, "
            "and PROVIDER:NAME needs pip install 'mirror-graph[providers]'"
        )
    try:
        model: Embeddings = importlib.import_module("langchain.embeddings").init_embeddings(name)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(f"unknown embeddings model {name!r}: {EXPECTED_EMBEDDINGS}; {error}") from error
    return model
