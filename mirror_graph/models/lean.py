"""`ChatOpenAI` without the SDK's walk over every field of every message."""

from typing import Any

from langchain_openai import ChatOpenAI


class LeanChatOpenAI(ChatOpenAI):
    """Hands the messages to the SDK as part of the body's extras, which it sends as they are.

    Its own check walks each message of each request while the event loop waits: 10 ms for a window of 66 messages, 30
    for 200, for every talker and thinker of a host alike (docs/operations.md). LangChain has made plain values of them.
    """

    def _get_request_payload(self, input_: Any, *, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
        if "messages" not in payload:  # the Responses API
            return payload
        extras = {**(payload.get("extra_body") or {}), "messages": payload["messages"]}
        return {**payload, "messages": [], "extra_body": extras}
