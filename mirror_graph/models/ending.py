"""How a message says that it is complete."""

from langchain_core.messages import AIMessage

SPELLINGS = ("finish_reason", "stop_reason", "done_reason", "stopReason")


def finish_reason(message: AIMessage) -> str | None:
    """Return why the model stopped, in its provider's word (`"stop"`, `"length"`, ...), or `None` if it never said."""
    metadata = message.response_metadata
    for spelling in SPELLINGS:
        if reason := metadata.get(spelling):
            return str(reason)
    details = metadata.get("incomplete_details") or {}
    return details.get("reason") or metadata.get("status")


def is_whole(message: AIMessage) -> bool:
    """Tell whether the model's end of the message arrived; a stream that just closes raises nothing.

    A message cut at `max_tokens` is whole: its `finish_reason` is `"length"`. Only the OpenAI protocol
    promises a reason, so a message of another provider that gives none counts as whole.
    """
    return finish_reason(message) is not None or message.response_metadata.get("model_provider") != "openai"
