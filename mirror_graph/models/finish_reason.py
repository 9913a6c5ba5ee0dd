"""Whether a message is complete, and why it ended."""

from typing import Literal

from langchain_core.messages import AIMessage

SPELLINGS = ("finish_reason", "stop_reason", "done_reason", "stopReason")

FinishReason = Literal["stop", "length", "content_filter", "refusal", "tool_calls", "unknown"]
"""Why a message ended, in one word for all providers."""

_ENDINGS: dict[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "complete": "stop",
    "eos": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "refusal": "refusal",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
}


def finish_reason(message: AIMessage) -> str | None:
    """Return why the model stopped, in its provider's word (`"stop"`, `"length"`, ...), or `None` if it never said."""
    metadata = message.response_metadata
    for spelling in SPELLINGS:
        if reason := metadata.get(spelling):
            return str(reason)
    details = metadata.get("incomplete_details") or {}
    return details.get("reason") or metadata.get("status")


def ending(message: AIMessage) -> FinishReason:
    """Return why a message ended, whatever its provider calls it."""
    if refusal_text(message):
        return "refusal"
    return _ENDINGS.get((finish_reason(message) or "").lower(), "unknown")


def refusal_text(message: AIMessage) -> str:
    """Return the words of a refusal that a provider keeps apart from the answer, or `""`."""
    refusal = message.additional_kwargs.get("refusal")
    if isinstance(refusal, str) and refusal:
        return refusal
    blocks = message.content if isinstance(message.content, list) else []
    words = [block["refusal"] for block in blocks if isinstance(block, dict) and block.get("type") == "refusal"]
    return "".join(map(str, words))


def is_complete(message: AIMessage) -> bool:
    """Tell whether the model's end of the message arrived; a stream that just closes raises nothing.

    A message cut at `max_tokens` is whole: its `finish_reason` is `"length"`. Only the OpenAI protocol
    promises a reason, so a message of another provider that gives none counts as whole.
    """
    return finish_reason(message) is not None or message.response_metadata.get("model_provider") != "openai"
