"""The guard's note on an answer that no model streams: a structured one, or a tool's result."""

from collections.abc import Sequence
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage

from mirror_graph.agents.record import AgentRecord
from mirror_graph.guard import GuardedModel
from mirror_graph.models import ScriptedModel
from mirror_graph.relevance.choose import Relevant
from mirror_graph.state import MirrorContext


def note_on(
    answer: str, record: AgentRecord, seen: Relevant, messages: Sequence[AnyMessage], context: MirrorContext
) -> AIMessage | None:
    """Return the note that an answer needs, as a message of its own, or None if it needs none.

    The answer itself is data that a program reads, so nothing is added to it.
    """
    if not answer.strip() or context.guard == "off":
        return None
    model = GuardedModel.around(
        ScriptedModel(script=lambda _: answer),
        record["constraints"],
        guard="note",
        guard_again=context.guard_again,
        request=record["request"],
        touched=seen.touched,
        history=messages,
    )
    whole = model.invoke([], {"callbacks": []})
    note = whole.text.removeprefix(answer).strip()
    if not note:
        return None
    mirror = whole.response_metadata.get("mirror", {})
    return AIMessage(note, id=str(uuid4()), response_metadata={"mirror": mirror})
