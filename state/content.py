"""What a message's content holds besides text: how much a picture counts, what is too large, how it reads as text."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage

from mirror_graph.errors import MessageRefusedError
from mirror_graph.state.text import sanitize
from mirror_graph.state.tokens import BYTES_PER_TOKEN, CUT, count_tokens, truncate_middle

Block = str | dict[str, Any]

MEDIA_TOKENS = 1_000
"""What a picture, a recording or a file counts. Providers bill a photo at 250 to 1,600 tokens, by its pixels."""

MEDIA_BYTES = 7_000_000
"""The most characters of base64 in one of them: 5 MB, the smallest limit for a picture among the large providers."""

CALL_MEDIA_BYTES = 20_000_000
"""The most characters of base64 in one message, and in one call of the talker (Gemini's limit for a request)."""

REFUSED = "mirror_refused"
"""In the `additional_kwargs` of a message: why it is not answered. A reducer that raised would close the thread."""

_KINDS = ("image", "audio", "video", "file", "document")


def blocks_of(message: BaseMessage) -> list[Block]:
    """Return a message's content as blocks."""
    return [message.content] if isinstance(message.content, str) else message.content


def block_tokens(block: Block) -> int:
    """Count the tokens of one block of content."""
    if media_kind(block):
        return MEDIA_TOKENS
    return count_tokens(_text_of(block))


def media_kind(block: Block) -> str:
    """Return `"image"`, `"audio"`, `"video"` or `"file"` for such a block in any provider's format, else `""`."""
    if isinstance(block, str):
        return ""
    mime_type = str(block.get("mime_type") or "")
    block_type = str(block.get("type") or "")
    for name in (mime_type.partition("/")[0], block_type.removeprefix("input_").partition("_")[0]):
        if name in _KINDS:
            return "file" if name == "document" else name
    return "file" if block_type == "media" else ""


def readable(message: BaseMessage) -> str:
    """Return a message as text: a picture reads `[image]`, and nothing of its data is in it."""
    blocks = blocks_of(message)
    if not any(map(media_kind, blocks)):
        return message.text
    return "\n".join(filter(None, map(_as_text, blocks)))


def has_content(message: BaseMessage) -> bool:
    """Return whether a message has anything to answer: a word or a picture."""
    return bool(message.text.strip()) or any(map(media_kind, blocks_of(message)))


def bounded_message(message: BaseMessage, limit: int) -> BaseMessage:
    """Return a message cleaned and cut to `limit` tokens.

    Half a picture is none: media that do not fit become the word for them, and the message is marked as refused.
    """
    if is_refused(message) and not message.content:
        return message
    noted = {key: value for key, value in message.additional_kwargs.items() if key != REFUSED}
    if isinstance(message.content, str):
        text = truncate_middle(sanitize(message.content), limit)
        return message.model_copy(update={"content": text, "additional_kwargs": noted})
    blocks = blocks_of(message)
    problem = _media_problem(blocks, limit)
    if problem is not None:
        noted[REFUSED] = problem
        blocks = list(map(_named, blocks))
    return message.model_copy(update={"content": _cut_texts(blocks, limit), "additional_kwargs": noted})


def _cut_texts(blocks: Sequence[Block], limit: int) -> list[Block]:
    """Return blocks whose texts are cut to the room that the media leave of `limit` tokens."""
    room = limit
    for block in blocks:
        if media_kind(block):
            room -= block_tokens(block)
    bounded: list[Block] = []
    for block in blocks:
        if not media_kind(block):
            block = _cut_block(block, room)
            room = max(0, room - block_tokens(block))
        bounded.append(block)
    return bounded


def refused_message(problem: str) -> HumanMessage:
    """Return the placeholder that a thread holds for an input that is no message, until the next message comes."""
    note = {"problem": f"{problem}: expected a list of messages with a role and a content", "tokens": 0, "limit": 0}
    return HumanMessage("", additional_kwargs={REFUSED: note})


def is_refused(message: BaseMessage) -> bool:
    """Say whether a message came with media that do not fit."""
    return REFUSED in message.additional_kwargs


def check_answerable(messages: Sequence[BaseMessage]) -> None:
    """Raise `MessageRefusedError` if the messages leave nothing to answer, or the last of them came with too much."""
    if messages and is_refused(messages[-1]):
        raise MessageRefusedError(**messages[-1].additional_kwargs[REFUSED])
    if not any(map(has_content, messages)):
        raise MessageRefusedError(
            "there is nothing to answer: expected a user's message after the last reply, with words or a picture in it",
            tokens=0,
            limit=0,
        )


def keep_newest_media(prompt: list[BaseMessage]) -> list[BaseMessage]:
    """Return a prompt whose media fit one call: the newest stay, and an older one is read as `[image]`."""
    room = CALL_MEDIA_BYTES
    lightened: list[BaseMessage] = []
    for message in reversed(prompt):
        size = sum(_data_size(block) for block in blocks_of(message) if media_kind(block))
        room -= size
        if size and room < 0:
            message = message.model_copy(update={"content": readable(message)})
        lightened.insert(0, message)
    return lightened


def _media_problem(blocks: Sequence[Block], limit: int) -> dict[str, str | int] | None:
    """Say what is wrong with the media of a message: one too large, all of them too large, or too many."""
    media = [block for block in blocks if media_kind(block)]
    sizes = [_data_size(block) for block in media]
    largest = max(sizes, default=0)
    if largest > MEDIA_BYTES:
        return _too_large(f"the {media_kind(media[sizes.index(largest)])}", largest, MEDIA_BYTES)
    if sum(sizes) > CALL_MEDIA_BYTES:
        return _too_large(f"the {len(media)} pictures or files", sum(sizes), CALL_MEDIA_BYTES)
    if len(media) * MEDIA_TOKENS <= limit:
        return None
    problem = f"the message has {len(media)} pictures or files: expected at most {limit // MEDIA_TOKENS}"
    return {"problem": problem, "tokens": len(media) * MEDIA_TOKENS, "limit": limit}


def _too_large(what: str, size: int, most: int) -> dict[str, str | int]:
    problem = (
        f"{what} in the message: {size / 1e6:.1f} MB of base64, expected at most {most / 1e6:.0f} MB: "
        "scale it down, or send its URL"
    )
    return {"problem": problem, "tokens": size // BYTES_PER_TOKEN, "limit": most // BYTES_PER_TOKEN}


def _named(block: Block) -> Block:
    kind = media_kind(block)
    return {"type": "text", "text": f"[{kind}]"} if kind else block


def _data_size(value: Any) -> int:
    """Return how many characters a block has, however deep its provider's format puts the data."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_data_size, value.values()))
    return 0


def _cut_block(block: Block, room: int) -> Block:
    if isinstance(block, str):
        return truncate_middle(sanitize(block), room)
    if isinstance(block.get("text"), str):
        return {**block, "text": truncate_middle(sanitize(block["text"]), room)}
    return block if block_tokens(block) <= room else {"type": "text", "text": CUT.strip()}


def _as_text(block: Block) -> str:
    """Return a block as a reader sees it: `[image]` for a picture, and nothing for a block without text."""
    kind = media_kind(block)
    if kind:
        return f"[{kind}]"
    text = block if isinstance(block, str) else block.get("text")
    return text if isinstance(text, str) else ""


def _text_of(block: Block) -> str:
    if isinstance(block, str):
        return block
    text = block.get("text")
    return text if isinstance(text, str) else str(block)
