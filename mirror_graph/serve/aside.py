"""Requests that are no turns: a front end asks for a title, tags or follow-up questions, and the user said nothing."""

from collections.abc import Mapping, Sequence

from langchain_core.messages import AIMessageChunk, AnyMessage, BaseMessage, SystemMessage

from mirror_graph.calls.reply_stream import REPLY_TOKENS, stream_reply
from mirror_graph.host import Mirror
from mirror_graph.models import visible_model
from mirror_graph.serve.headers import filled
from mirror_graph.serve.protocol import ASIDE_MODEL, ChatRequest

TASK_HEADERS = ("x-task", "x-openwebui-task")
TASK_BEGINNING = "### Task:"
"""How the prompts of Open WebUI for titles, tags and follow-ups begin."""


def is_aside(request: ChatRequest, headers: Mapping[str, str]) -> bool:
    """Say whether a request is no turn of a conversation: by its model, by a header, and at last by its looks.

    A single message in Open WebUI's words for a task, not streamed, is one. A user's message is streamed there.
    """
    if request.model == ASIDE_MODEL or any(filled(headers.get(name)) for name in TASK_HEADERS):
        return True
    roles = [message.role for message in request.messages]
    content = request.messages[-1].content
    is_task = isinstance(content, str) and content.lstrip().startswith(TASK_BEGINNING)
    return is_task and roles == ["user"] and not request.stream


async def answer_aside(mirror: Mirror, messages: Sequence[AnyMessage], instructions: str) -> AIMessageChunk:
    """Ask the talker's model, without a thread and without a mind. Raises `ReplyError`."""
    context = mirror.context
    model = visible_model(context.talker_model, temperature=context.temperature, max_tokens=REPLY_TOKENS)
    prompt: list[BaseMessage] = [SystemMessage(instructions)] if instructions.strip() else []
    return await stream_reply(model, [*prompt, *messages], context, 0)
