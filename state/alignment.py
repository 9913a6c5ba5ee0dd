"""How incoming messages are aligned with those that a thread holds: history, an edit, a new reply, or new messages.

Some clients send only what is new, others their whole transcript each turn, with ids or without. What comes in is
compared with what is held where the two agree. What stands before the common part is history, which the window may have
let go; what stands behind it is new; and where the two differ, the conversation is what the client shows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import filterfalse
from typing import cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, SystemMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages


def align_messages(held: Sequence[AnyMessage], incoming: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the conversation after `incoming`: each message once, in the order of the conversation.

    A write that removes messages is carried out as LangGraph does it. In any other write, messages that are held
    already are recognised by id, or else by role and text. A message of the user's that comes with a known id and
    other words replaces the one that is held and all that followed it. So does a transcript that goes on differently,
    and one that ends in a message of the user's that has been answered: that asks for another answer.
    """
    if any(map(_is_removal, incoming)):
        return _apply_removals(held, incoming)
    # A client that sends instructions sends all of them. One that sends none leaves those that are held.
    instructions = _outside_conversation(incoming) or _outside_conversation(held)
    conversation = list(filterfalse(is_outside_conversation, held))
    latest = list(filterfalse(is_outside_conversation, _without_repeated_ids(incoming)))
    has_replies = any(isinstance(message, AIMessage) for message in latest)
    follow = _follow_transcript if has_replies else _follow_users_words
    return _without_repeated_ids([*instructions, *follow(conversation, latest)])


def _outside_conversation(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    return list(filter(is_outside_conversation, messages))


def is_outside_conversation(message: AnyMessage) -> bool:
    """Say whether a message is not part of the conversation: instructions, or what an agent's middleware wrote.

    LangChain marks its summaries with `lc_source`, and deepagents the files and skills that it puts in.
    """
    written_by_middleware = {"lc_source", "read_file_media_result"} & message.additional_kwargs.keys()
    return isinstance(message, SystemMessage) or bool(written_by_middleware)


def is_summary(message: AnyMessage) -> bool:
    """Say whether a message stands in for earlier ones, which an agent's middleware has removed."""
    return message.additional_kwargs.get("lc_source") == "summarization"


def _apply_removals(held: Sequence[AnyMessage], written: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Remove and replace by id, in the order of the write; an edited message takes with it what followed it."""
    cleared = [place for place, message in enumerate(written) if message.id == REMOVE_ALL_MESSAGES]
    if cleared:
        return list(filterfalse(_is_removal, written[cleared[-1] + 1 :]))
    before = {message.id: message for message in held}
    # A removal that names no message has been carried out before: a node that runs again removes it again.
    script = [message for message in written if not _is_removal(message) or message.id in before]
    merged = cast("list[AnyMessage]", add_messages(list(held), script))  # type: ignore[arg-type]
    edited = _place_of_edit(before, merged)
    return merged if edited is None else _cut_behind_edit(merged, edited, script)


def _cut_behind_edit(merged: list[AnyMessage], edited: int, written: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Drop what followed an edited message: it answered other words. Only what this write brings may follow it."""
    written_ids = {message.id for message in written}
    followers = [message for message in merged[edited + 1 :] if message.id in written_ids]
    return [*merged[: edited + 1], *map(_without_our_id, followers)]


def _is_removal(message: AnyMessage) -> bool:
    return isinstance(message, RemoveMessage)


def _place_of_edit(before: Mapping[str | None, AnyMessage], merged: Sequence[AnyMessage]) -> int | None:
    """Return the place of the first message of the user's that has other words than before, or None."""
    for place, message in enumerate(merged):
        earlier = before.get(message.id)
        if isinstance(message, HumanMessage) and earlier is not None and not _has_same_words(earlier, message):
            return place
    return None


def _common_shift(held: Sequence[AnyMessage], incoming: Sequence[AnyMessage]) -> int | None:
    """Return how far `incoming` is ahead of `held` where the two agree, or None if all that comes in is new."""
    by_id = _most_agreed(_pairs_by_id(held, incoming))
    if by_id is not None:
        return by_id
    # One message without a known id is news, even if its words are not: a second "yes".
    if len(incoming) < 2:
        return None
    by_words = _most_agreed(_pairs_by_words(held, incoming))
    return by_words if by_words is not None and _is_transcript(held, incoming, by_words) else None


def _pairs_by_id(held: Sequence[AnyMessage], incoming: Sequence[AnyMessage]) -> list[tuple[int, int]]:
    places = {message.id: place for place, message in enumerate(held) if message.id}
    return [(places[message.id], i) for i, message in enumerate(incoming) if message.id in places]


def _pairs_by_words(held: Sequence[AnyMessage], incoming: Sequence[AnyMessage]) -> list[tuple[int, int]]:
    places: dict[tuple[str, str], list[int]] = {}
    for place, message in enumerate(held):
        places.setdefault(_words_of(message), []).append(place)
    return [(place, i) for i, message in enumerate(incoming) for place in places.get(_words_of(message), [])]


def _most_agreed(pairs: list[tuple[int, int]]) -> int | None:
    """Return the shift that most pairs agree on; of equals the largest, which takes the most for history."""
    if not pairs:
        return None
    shifts = Counter(i - place for place, i in pairs)
    most = max(shifts.values())
    return max(shift for shift, votes in shifts.items() if votes == most)


def _is_transcript(held: Sequence[AnyMessage], incoming: Sequence[AnyMessage], shift: int) -> bool:
    """Say whether messages without known ids repeat the conversation, rather than say something like it.

    They do if a reply is among what they repeat, or if they repeat all that is held from its beginning.
    """
    place, i = max(0, -shift), max(0, shift)
    common = list(zip(held[place:], incoming[i:], strict=False))
    same = [one for one, other in common if _words_of(one) == _words_of(other)]
    # No client but one that has the transcript knows the words of a reply.
    if any(not isinstance(message, HumanMessage) for message in same):
        return True
    return place == 0 and len(same) == len(common) == len(held)


def _follow_transcript(held: Sequence[AnyMessage], incoming: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Walk the common part, and return what is held up to its end with what comes in after it."""
    shift = _common_shift(held, incoming)
    if shift is None:
        return [*held, *incoming]
    place, first = max(0, -shift), max(0, shift)
    common = _common_part(held[place:], incoming[first:])
    count = len(common)
    conversation = [*held[:place], *common]
    rest = incoming[first + count :]
    is_at_end = place + count == len(held)
    # They differ from the start, so what the client shows is all there is.
    if rest and count == 0 and not is_at_end:
        return list(map(_without_our_id, incoming))
    # They differ from here on: the user edited a message, or the client forked the conversation.
    if rest and not is_at_end:
        return [*conversation, *map(_without_our_id, rest)]
    # One reply was corrected in its place, so what follows it stands.
    if not rest and len(incoming) == 1 and not isinstance(incoming[0], HumanMessage):
        return [*conversation, *held[place + count :]]
    # The transcript goes on after what is held, or ends earlier: then the client went back to that place.
    return [*conversation, *rest]


def _common_part(held: Sequence[AnyMessage], incoming: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the messages that are held once a client has shown `incoming`, up to where the two differ."""
    common: list[AnyMessage] = []
    for one, other in zip(held, incoming, strict=False):
        same = _in_place_of(one, other)
        if same is None:
            break
        common.append(same)
    return common


def _in_place_of(one: AnyMessage, other: AnyMessage) -> AnyMessage | None:
    """Return the message that is held once a client has shown `other` in its place, or None if they are two."""
    if _is_same(one, other):
        return one
    # The client shows other words for the reply, say without its Markdown. It is the same turn.
    if isinstance(one, AIMessage) and isinstance(other, AIMessage):
        return one.model_copy(update={"content": other.content})
    return None


def _follow_users_words(held: Sequence[AnyMessage], incoming: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Walk the common part with a client that sends only the user's messages: the replies between them stay."""
    own = [place for place, message in enumerate(held) if isinstance(message, HumanMessage)]
    words = [held[place] for place in own]
    shift = _common_shift(words, incoming)
    if shift is None:
        return [*held, *incoming]
    first, i = max(0, -shift), max(0, shift)
    count = _count_same(words[first:], incoming[i:])
    position, i = first + count, i + count
    if position == len(words):
        # All that is held is in it. If nothing is new, the last message is to be answered again.
        return [*held, *incoming[i:]] if i < len(incoming) else list(held[: own[-1] + 1])
    # The client went back to an earlier message, which is to be answered again.
    if i == len(incoming):
        return list(held[: own[position - 1] + 1]) if position else list(held)
    # The client edited a message: it replaces the one that is held, and all that followed that one.
    return [*held[: own[position]], *incoming[i:]]


def _count_same(held: Sequence[AnyMessage], incoming: Sequence[AnyMessage]) -> int:
    """Return how many messages are the same from the beginning of both."""
    count = 0
    for one, other in zip(held, incoming, strict=False):
        if not _is_same(one, other):
            break
        count += 1
    return count


def _without_our_id(message: AnyMessage) -> AnyMessage:
    """Return a message that follows an edit: a reply in it answers other words now, so it is no reply of ours."""
    return message if isinstance(message, HumanMessage) else message.model_copy(update={"id": None})


def _is_same(one: AnyMessage, other: AnyMessage) -> bool:
    """Say whether two messages at the same place of a conversation are the same one."""
    return one.type == other.type and _has_same_words(one, other)


def _has_same_words(one: AnyMessage, other: AnyMessage) -> bool:
    return _words_of(one) == _words_of(other) and _pictures_of(one) == _pictures_of(other)


def _words_of(message: AnyMessage) -> tuple[str, str]:
    return message.type, " ".join(message.text.split())


def _pictures_of(message: AnyMessage) -> list[str]:
    """Return what a message holds besides text, as far as it distinguishes two copies of the message."""
    if isinstance(message.content, str):
        return []
    return [str(block) for block in message.content if isinstance(block, dict) and block.get("type") != "text"]


def _without_repeated_ids(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return `messages` with each id once, in its last place."""
    last_place = {message.id: place for place, message in enumerate(messages)}
    return [message for place, message in enumerate(messages) if not message.id or last_place[message.id] == place]
