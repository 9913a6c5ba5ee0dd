"""Putting a message of the user's in the place of an earlier one, and taking back what only that one has stated."""

from collections.abc import Sequence

from langchain_core.messages import AnyMessage, HumanMessage

from mirror_graph.errors import UnknownMessageError
from mirror_graph.host.thread import Thread
from mirror_graph.ledger.user_constraints import withdraw
from mirror_graph.scheduling import mind_thread
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.window import is_users

LAST = ""
"""In the place of an id: the user's last message."""


async def replace_message(thread: Thread, given: HumanMessage | None, place: str) -> HumanMessage:
    """Put `given` in the place of the user's message with the id `place`, and return what is to be answered.

    The new message takes the id of the old one. None leaves the old one where it is, to be answered again. All that
    followed it goes, and so does what it alone has stated. The thread is to be locked.

    Raises `UnknownMessageError` if the window holds no such message.
    """
    window = await thread.messages()
    for position in reversed(range(len(window))):
        message = window[position]
        if isinstance(message, HumanMessage) and is_users(message) and place in (LAST, message.id):
            answered = message if given is None else given.model_copy(update={"id": message.id})
            await thread.write({"messages": [answered]})
            await _withdraw(thread, window[position:], answered)
            return answered
    raise UnknownMessageError(place)


async def _withdraw(thread: Thread, given_up: Sequence[AnyMessage], answered: HumanMessage) -> None:
    """Take what only these messages have stated off the list that the user's conversations share."""
    if thread.user_id is None:
        return
    ids = {message.id for message in given_up if isinstance(message, HumanMessage)}

    def is_withdrawn(constraint: SafetyConstraint) -> bool:
        source = constraint["source"]
        is_in_answered = source["message"] == answered.id and source["quote"] in answered.text
        # If the first turn is another one, the same was stated elsewhere too.
        return source["message"] in ids and not is_in_answered and constraint["first_turn"] == source["turn"]

    storage = thread.engine.storage
    async with storage.lock(mind_thread(thread.thread_id)):
        pass  # What a pass was sharing is written by now, and nothing more of what it has read will be.
    # Not in the block: a pass that shares takes the user's lock first, and then this one.
    await withdraw(storage.store, thread.user_id, is_withdrawn)
