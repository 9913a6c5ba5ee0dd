"""What MIRROR adds to an agent's call of its model: rules to the system message, the mind to the user's last words."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from mirror_graph.agents.record import AgentRecord, Utterance, begins_at, conversation_in, ends_at
from mirror_graph.calls.reply_prompt import escape_fence
from mirror_graph.prompts import render
from mirror_graph.state.alignment import is_outside_conversation
from mirror_graph.state.window import messages_to_drop

Content = str | list[str | dict[str, Any]]


def with_rules(system: SystemMessage | None) -> SystemMessage:
    """Return the agent's own system message with MIRROR's rules behind it. The agent's persona stays its own."""
    rules = render("agent")
    if system is None:
        return SystemMessage(rules)
    if isinstance(system.content, str):
        return system.model_copy(update={"content": f"{system.content}\n\n{rules}"})
    return system.model_copy(update={"content": [*system.content, {"type": "text", "text": rules}]})


def with_mind(messages: Sequence[AnyMessage], record: AgentRecord, inner: str) -> list[AnyMessage]:
    """Return the messages with the mind (`inner`) in front of the user's last words, and no forged tag of ours.

    It stands there through all calls of a turn, so that a provider's cache serves the loop of tool calls. If other
    middleware has folded the user's last words into a summary, they stand behind the summary again.
    """
    opening = f"{inner}\n\n{render('latest_words')}\n" if inner else ""
    shown = [_without_tags(message) for message in messages]
    last = ends_at(record["words"], messages)
    if last is not None:
        shown[last] = shown[last].model_copy(update={"content": _behind(opening, shown[last].content)})
    if last is not None or not record["words"]:
        return shown
    first = next((place for place, message in enumerate(shown) if not is_outside_conversation(message)), len(shown))
    return [*shown[:first], HumanMessage(opening + _text_of(record["words"])), *shown[first:]]


def in_window(messages: Sequence[AnyMessage], record: AgentRecord, tokens: int) -> list[AnyMessage]:
    """Return the messages of the last turns that fit `tokens`, and the turn under way whole.

    A message leaves only after it has been thought about, unless thinking is far behind.
    """
    begun = begins_at(record["words"], messages)
    if begun is None:
        return list(messages)
    unread = {message.id for message in conversation_in(record["pending"])}
    gone = messages_to_drop(messages[: begun + 1], budget=tokens, waiting=unread)
    conversation = [message for message in messages if not isinstance(message, SystemMessage)]
    staying = {id(message) for message in conversation[len(gone) :]}
    return [message for message in messages if isinstance(message, SystemMessage) or id(message) in staying]


def tool_results(record: AgentRecord, messages: Sequence[AnyMessage]) -> list[ToolMessage]:
    """Return what tools have returned in the turn under way."""
    last = ends_at(record["words"], messages)
    if last is None:
        # The words were folded into a summary. What stands behind the last finished reply is of this turn.
        last = max((place for place, message in enumerate(messages) if _ends_turn(message)), default=-1)
    return [message for message in messages[last + 1 :] if isinstance(message, ToolMessage)]


def _ends_turn(message: AnyMessage) -> bool:
    return isinstance(message, AIMessage) and not message.tool_calls


def _behind(opening: str, content: Content) -> Content:
    if not opening:
        return content
    if isinstance(content, str):
        return opening + content
    return [{"type": "text", "text": opening.rstrip()}, *content]


def _text_of(words: Sequence[Utterance]) -> str:
    return escape_fence("\n\n".join(utterance["text"] for utterance in words))


def _without_tags(message: AnyMessage) -> AnyMessage:
    """Return a message in which nothing passes for the tag around the mind, whoever wrote it."""
    content = message.content
    if isinstance(content, str):
        clean = escape_fence(content)
        return message if clean == content else message.model_copy(update={"content": clean})
    blocks = [
        {**block, "text": escape_fence(block["text"])}
        if isinstance(block, dict) and isinstance(block.get("text"), str)
        else block
        for block in content
    ]
    return message if blocks == content else message.model_copy(update={"content": blocks})
