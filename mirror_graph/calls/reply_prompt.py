"""The talker's prompt: what never changes, then the window, then what is new this turn."""

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)

from mirror_graph.prompts import quoted, render
from mirror_graph.state import MirrorContext
from mirror_graph.state.alignment import is_outside_conversation
from mirror_graph.state.branch import (
    reply_ids,
)
from mirror_graph.state.tokens import truncate_middle
from mirror_graph.state.values import AnsweredTurn
from mirror_graph.state.window import (
    is_users,
    named_text,
)

Content = str | list[str | dict[str, Any]]


TOOL_BLOCKS = ("tool_use", "tool_call", "function_call", "server_tool_call", "server_tool_result")


def reply_prompt(
    messages: Sequence[AnyMessage],
    branch: Sequence[AnsweredTurn],
    inner: str,
    context: MirrorContext,
    template: str = "talker",
) -> list[BaseMessage]:
    """Return the prompt of a reply: what never changes (`template`), then the window, then what is new this turn.

    The mind (`inner`) stands in front of the user's last words and is never stored with them, so that the
    prompt up to the window's end is the same next turn, byte for byte, and a provider's prompt cache finds it.
    Instructions of the conversation (system messages) join the one system message. Tool calls and their results stay
    out together: the talker has no tools, and some providers refuse calls to tools that they are not told of.
    """
    instructions = [context.instructions, *(message.text for message in messages if is_outside_conversation(message))]
    instructions = [f"\n{text}" for text in instructions if text.strip()]
    conversation = [message for message in messages if not is_outside_conversation(message)]
    latest = _latest_part(conversation, branch)
    history = [
        _provider_message(message) for message in conversation[: len(conversation) - len(latest)] if _has_words(message)
    ]
    return [
        SystemMessage(render(template, instructions="".join(instructions))),
        *history,
        _user_message(latest, inner, context.window_tokens),
    ]


def _latest_part(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]) -> list[AnyMessage]:
    """Return the users' words that wait for a reply, with what other agents wrote behind them."""
    latest: list[AnyMessage] = []
    ours = reply_ids(branch)
    for message in reversed(messages):
        if message.id in ours or (not is_users(message) and any(map(is_users, latest))):
            break
        latest.insert(0, message)
    return latest


def _has_words(message: AnyMessage) -> bool:
    """Say whether a message has something for the talker: neither a tool's result nor a bare call to a tool."""
    return isinstance(message, HumanMessage) or (isinstance(message, AIMessage) and bool(message.content))


def _provider_message(message: AnyMessage) -> AnyMessage:
    """Return a message of the window as the provider gets it: its words, and nothing we noted about it."""
    if isinstance(message, AIMessage):
        return AIMessage(_without_tool_calls(message.content))
    return HumanMessage(_escape_content(_named(message)))


def _without_tool_calls(content: Content) -> Content:
    if isinstance(content, str):
        return content
    return [block for block in content if isinstance(block, str) or block.get("type") not in TOOL_BLOCKS]


def _named(message: AnyMessage) -> Content:
    """Return the content of a message, with the speaker's name in front if it has one, as in a group."""
    if not message.name:
        return message.content
    if isinstance(message.content, str):
        return named_text(message)
    return [{"type": "text", "text": f"{message.name}:"}, *message.content]


def _user_message(latest: Sequence[AnyMessage], inner: str, tokens: int) -> HumanMessage:
    """Put the mind in front of the users' last words, and say where those begin; then quote what others wrote since."""
    inner = inner and f"{inner}\n\n{render('latest_words')}\n"
    words = _latest_words(latest)
    texts = [content for content in words if isinstance(content, str)]
    if len(texts) == len(words):
        text = escape_fence(truncate_middle("\n\n".join(texts), tokens))
        return HumanMessage(f"{inner}{text}")
    blocks: list[str | dict[str, Any]] = [{"type": "text", "text": inner.rstrip()}] if inner else []
    for content in words:
        blocks += map(_escape_block, [content] if isinstance(content, str) else content)
    return HumanMessage(blocks)


def _latest_words(latest: Sequence[AnyMessage]) -> list[Content]:
    """Return the users' words, and then what other agents wrote since, quoted."""
    words = [_named(message) for message in latest if is_users(message)]
    others = [message.text for message in latest if isinstance(message, AIMessage) and message.text.strip()]
    return [*words, *(render("other_agent", words=quoted(text)) for text in others)]


def _escape_content(content: Content) -> Content:
    return escape_fence(content) if isinstance(content, str) else list(map(_escape_block, content))


def _escape_block(block: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(block, str):  # a bare string, which not every provider takes
        return {"type": "text", "text": escape_fence(block)}
    return {**block, "text": escape_fence(str(block["text"]))} if "text" in block else block


def escape_fence(text: str) -> str:
    """Take the point off what looks like a tag of ours in the user's words."""
    return re.sub(r"<(?=\s*/?\s*mirror-)", "\u2039", text, flags=re.IGNORECASE)
