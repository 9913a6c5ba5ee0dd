"""The form of a model's name. Whether the model exists shows when it is first used."""

import re

from mirror_graph.errors import ConfigurationError

EXPECTED_CHAT = "expected openai:NAME, local:NAME, scripted:NAME or PROVIDER:NAME"
EXPECTED_EMBEDDINGS = "expected openai:NAME or PROVIDER:NAME"

TOOLS_ADVICE = (
    "MIRROR's models call no tools: give the tools to mirror_graph.agents.build_agent(tools), "
    "or MirrorMiddleware to LangChain's create_agent"
)

_PROVIDER = re.compile(r"\w[\w.-]*")


def split_chat_name(name: object) -> tuple[str, str]:
    """Return the provider and the model that a chat model's name stands for.

    Raises `ConfigurationError` for anything else.
    """
    if not isinstance(name, str):
        raise ConfigurationError(f"{EXPECTED_CHAT}, or a chat model object, got a {type(name).__name__}")
    return _split(name, "model", EXPECTED_CHAT)


def split_embeddings_name(name: object) -> tuple[str, str]:
    """Return the provider and the model that an embeddings model's name stands for.

    Raises `ConfigurationError` for anything else.
    """
    if not isinstance(name, str):
        raise ConfigurationError(f"embeddings is {name!r}: {EXPECTED_EMBEDDINGS}")
    return _split(name, "embeddings model", EXPECTED_EMBEDDINGS)


def _split(name: str, kind: str, expected: str) -> tuple[str, str]:
    provider, _, model = name.partition(":")
    if not _PROVIDER.fullmatch(provider) or not model.strip() or not model.isprintable():
        raise ConfigurationError(f"unknown {kind} {name!r}: {expected}")
    return provider, model
