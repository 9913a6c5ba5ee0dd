"""What a message's content holds besides text: how much a picture counts, what is too large, how it reads as text."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from mirror_graph.errors import MessageRefusedError
from mirror_graph.state.text import clean
from mirror_graph.state.tokens import BYTES_PER_TOKEN, CUT, count_tokens, cut

Block = str | dict[str, Any]

MEDIA_TOKENS = 1_000
"""What a picture, a recording or a file counts. Providers bill a photo at 250 to 1,600 tokens, by its pixels."""

MEDIA_BYTES = 7_000_000
"""The most characters of base64 in one of them: 5 MB, the smallest limit for a picture among the large providers."""

CALL_MEDIA_BYTES = 20_000_000
"""The most characters of base64 in one message, and in one call of the talker (Gemini's limit for a request)."""

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
    parts = [f"[{media_kind(block)}]" if media_kind(block) else _visible_text(block) for block in blocks]
    return "\n".join(part for part in parts if part)


def is_said(message: BaseMessage) -> bool:
    """Say whether a message holds anything to answer: a word or a picture."""
    return bool(message.text.strip()) or any(map(media_kind, blocks_of(message)))


def bounded_blocks(blocks: list[Block], limit: int) -> list[Block]:
    """Return the blocks of a message cleaned and cut to `limit` tokens together.

    Raises `MessageRefusedError` for media that do not fit: half a picture is none.
    """
    _check_media(blocks, limit)
    kept: list[Block] = []
    room = limit - sum(block_tokens(block) for block in blocks if media_kind(block))
    for block in blocks:
        if not media_kind(block):
            block = _cut_block(block, room)
            room = max(0, room - block_tokens(block))
        kept.append(block)
    return kept


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


def _check_media(blocks: Sequence[Block], limit: int) -> None:
    media = [block for block in blocks if media_kind(block)]
    sizes = [_data_size(block) for block in media]
    if max(sizes, default=0) > MEDIA_BYTES:
        raise _refused(f"the {media_kind(media[sizes.index(max(sizes))])}", max(sizes), MEDIA_BYTES)
    if sum(sizes) > CALL_MEDIA_BYTES:
        raise _refused(f"the {len(media)} pictures or files", sum(sizes), CALL_MEDIA_BYTES)
    if len(media) * MEDIA_TOKENS > limit:
        raise MessageRefusedError(
            f"the message has {len(media)} pictures or files: at most {limit // MEDIA_TOKENS} fit one message",
            tokens=len(media) * MEDIA_TOKENS,
            limit=limit,
        )


def _refused(what: str, size: int, most: int) -> MessageRefusedError:
    return MessageRefusedError(
        f"{what} in the message: {size / 1e6:.1f} MB of base64, at most {most / 1e6:.0f} MB fit: "
        "scale it down, or send its address",
        tokens=size // BYTES_PER_TOKEN,
        limit=most // BYTES_PER_TOKEN,
    )


def _data_size(value: Any) -> int:
    """Return how many characters stand in a block, however deep its provider's format puts the data."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_data_size, value.values()))
    return 0


def _cut_block(block: Block, room: int) -> Block:
    if isinstance(block, str):
        return cut(clean(block), room)
    if isinstance(block.get("text"), str):
        return {**block, "text": cut(clean(block["text"]), room)}
    return block if block_tokens(block) <= room else {"type": "text", "text": CUT.strip()}


def _visible_text(block: Block) -> str:
    text = block if isinstance(block, str) else block.get("text")
    return text if isinstance(text, str) else ""


def _text_of(block: Block) -> str:
    if isinstance(block, str):
        return block
    text = block.get("text")
    return text if isinstance(text, str) else str(block)
