"""Whether an endpoint continues an assistant message that stands last, or starts a new one."""

import asyncio
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

PROBE_SECONDS = 10.0

_PROBE: list[BaseMessage] = [
    HumanMessage("Write the numbers from one to six as words, in one line, and nothing else."),
    AIMessage("one, two, three,"),
]
_NEXT = "four"

# These start a new message, or refuse the request: there is no need to try.
_STARTS_NEW_MESSAGE_HOSTS = ("openai.com", "azure.com", "anthropic.com", "googleapis.com")
_STARTS_NEW_MESSAGE_TYPES = ("anthropic-chat", "chat-google-generative-ai", "vertexai", "amazon_bedrock_converse_chat")

_found_out: dict[tuple[str, str, str], bool] = {}


def known_to_continue(model: BaseChatModel) -> bool | None:
    """Say what is known about the endpoint of a model; None if it has to be tried.

    A model class may say so itself, as an attribute `continues_prefix`.
    """
    model = _innermost(model)
    declared = getattr(model, "continues_prefix", None)
    if isinstance(declared, bool):
        return declared
    host = urlsplit(_address(model)).hostname or ""
    if model._llm_type in _STARTS_NEW_MESSAGE_TYPES or host.endswith(_STARTS_NEW_MESSAGE_HOSTS):
        return False
    if model._llm_type == "openai-chat" and not host:
        return False
    return _found_out.get(_endpoint(model))


async def acontinues(model: BaseChatModel) -> bool:
    """Say whether the endpoint of a model continues an assistant message, trying it once per endpoint and process."""
    known = known_to_continue(model)
    if known is not None:
        return known
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            result = await model._agenerate(_PROBE)
    except Exception:
        # It may have been a passing failure: the next opening tries again.
        return False
    return _remember(model, result.generations[0].message.text)


def continues(model: BaseChatModel) -> bool:
    """Say the same as `acontinues`, for a program without an event loop."""
    known = known_to_continue(model)
    if known is not None:
        return known
    try:
        result = model._generate(_PROBE)
    except Exception:
        return False
    return _remember(model, result.generations[0].message.text)


def _remember(model: BaseChatModel, reply: str) -> bool:
    _found_out[_endpoint(model)] = reply.strip(" ,\n").lower().startswith(_NEXT)
    return _found_out[_endpoint(model)]


def _innermost(model: BaseChatModel) -> BaseChatModel:
    """Return the model that other models are wrapped around."""
    inner = getattr(model, "model", None)
    return _innermost(inner) if isinstance(inner, BaseChatModel) else model


def _endpoint(model: BaseChatModel) -> tuple[str, str, str]:
    model = _innermost(model)
    name = str(getattr(model, "model_name", None) or getattr(model, "model", ""))
    return model._llm_type, name, _address(model)


def _address(model: BaseChatModel) -> str:
    return str(getattr(model, "openai_api_base", None) or getattr(model, "base_url", None) or "")
