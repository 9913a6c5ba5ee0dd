"""A `ChatOpenAI` that skips checks of each message and each piece whose results nothing reads.

It rests on parts of the OpenAI SDK and of langchain-openai that are not public. `lean_is_possible` says whether they
are as expected; pyproject.toml bounds the versions.
"""

import inspect
import logging
from functools import cache
from typing import Any

import openai
from langchain_core.messages import AIMessage, BaseMessage
from openai import AsyncOpenAI, AsyncStream, NotGiven, Timeout, not_given
from openai.resources.chat import AsyncCompletions
from pydantic import model_validator

from mirror_graph.models.compatible import CompatibleChatOpenAI
from mirror_graph.models.http_client import shared_client

log = logging.getLogger(__name__)


class FastChatOpenAI(CompatibleChatOpenAI):
    """Sends what `ChatOpenAI` sends, to the letter, and reads the same words, calls and usage in what comes back.

    The processor time it saves is time that the event loop waits, and with it every talker and thinker of a host.
    """

    @model_validator(mode="after")
    def _take_lean_completions(self) -> "FastChatOpenAI":
        client: AsyncOpenAI = self.root_async_client
        self.async_client = client.chat.completions = LeanCompletions(client)  # type: ignore[misc]  # a cached property
        return self

    def _get_request_payload(self, input_: Any, *, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        # LangChain looks at each letter of a reply, for blocks: a reply that is one text is put in behind its back.
        messages = self._convert_input(input_).to_messages()
        replies = {place: message.content for place, message in enumerate(messages) if _is_one_text(message)}
        empty = [
            message.model_copy(update={"content": ""}) if place in replies else message
            for place, message in enumerate(messages)
        ]
        payload: dict[str, Any] = super()._get_request_payload(empty, stop=stop, **kwargs)
        if "messages" not in payload:  # the Responses API
            return super()._get_request_payload(messages, stop=stop, **kwargs)
        for place, text in replies.items():
            payload["messages"][place]["content"] = text
        return payload


def _is_one_text(message: BaseMessage) -> bool:
    return isinstance(message, AIMessage) and isinstance(message.content, str) and message.content != ""


class LeanCompletions(AsyncCompletions):
    """Makes the call with the body as it is, and returns its JSON as it came.

    The SDK walks each field of each message of a request, 10 ms for a window of 66 messages, and makes an object of
    each piece of a stream, which LangChain turns into a dictionary again, 0.15 ms.
    """

    async def create(  # type: ignore[override]  # one signature for all of its overloads
        self,
        *,
        stream: bool = False,
        extra_headers: Any = None,
        extra_query: Any = None,
        extra_body: Any = None,
        timeout: float | Timeout | NotGiven | None = not_given,  # noqa: ASYNC109  # the SDK's name
        **body: Any,
    ) -> Any:
        """Call the endpoint."""
        options = openai._base_client.make_request_options(
            extra_headers=extra_headers,
            extra_query=extra_query,
            extra_body=extra_body,
            timeout=timeout,
            security={"bearer_auth": True},
        )
        return await self._client.post(
            "/chat/completions",
            cast_to=object,
            body={**body, "stream": stream},
            options=options,
            stream=stream,
            stream_cls=AsyncStream[object],
        )

    parse = create  # whoever asks by a schema reads the answer


@cache
def lean_is_possible() -> bool:
    """Say whether the private parts that this file rests on are as expected; warn once if they are not."""
    try:
        options = openai._base_client.make_request_options
        inspect.signature(options).bind(
            extra_headers=None, extra_query=None, extra_body=None, timeout=None, security={"bearer_auth": True}
        )
        inspect.signature(AsyncOpenAI.post).bind(
            None, "/", cast_to=object, body={}, options={}, stream=False, stream_cls=None
        )
        inspect.signature(CompatibleChatOpenAI._get_request_payload).bind(None, [], stop=None)
        client = AsyncOpenAI(api_key="none", http_client=shared_client())
        client.chat.completions = completions = LeanCompletions(client)  # type: ignore[misc]  # a cached property
        if client.chat.completions is not completions or completions._client is not client:
            raise AttributeError("the client's completions cannot be replaced")
    except (AttributeError, TypeError, ValueError) as error:
        log.warning(
            "openai %s has an unexpected layout (%s): using LangChain's own ChatOpenAI, which is slower",
            openai.__version__,
            error,
        )
        return False
    return True
