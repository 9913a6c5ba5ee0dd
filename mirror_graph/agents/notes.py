"""The guard's note on an answer that no model streams: a structured one, or a tool's result."""

from collections.abc import Sequence
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage

from mirror_graph.agents.record import AgentRecord
from mirror_graph.guard import guarded
from mirror_graph.models import ScriptedModel
from mirror_graph.nodes.looking import Seen


def note_on(answer: str, record: AgentRecord, seen: Seen, messages: Sequence[AnyMessage]) -> AIMessage | None:
    """Return the note that an answer needs, as a message of its own, or None if it needs none.

    The answer itself is data that a program reads, so nothing is added to it.
    """
    if not answer.strip():
        return None
    model = guarded(
        ScriptedModel(script=lambda _: answer),
        record["constraints"],
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
