"""`joint`: one structured call for all thinkers, as in the paper."""

import time
from functools import lru_cache

from langgraph.runtime import Runtime
from pydantic import BaseModel, create_model

from mirror_graph.calls.model_call import context_of
from mirror_graph.calls.structured import ask_structured
from mirror_graph.errors import CallError
from mirror_graph.ledger.access import load_ledger, user_of
from mirror_graph.ledger.notes import NOTES_TOKENS, LedgerNotes, ledger_task, notes_task, verify_notes
from mirror_graph.ledger.user_messages import scan_messages, user_messages
from mirror_graph.nodes.memory import MEMORY
from mirror_graph.nodes.thinker import (
    THOUGHT_TOKENS,
    pending_state,
    thinker_prompt,
    thinker_task,
    thought,
    unread_exchanges,
)
from mirror_graph.prompts import render
from mirror_graph.state import MirrorContext, MirrorUpdate, Thought
from mirror_graph.state.branch import last_turn
from mirror_graph.state.schema import PassState
from mirror_graph.state.usage import add_usage

JOINT = "joint"


async def think_jointly(state: PassState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Think every thinker's thought in one call, with the notes for the ledger if memory is among the thinkers.

    A thinker whose part of the answer is empty has no thought. Raises `CallError` if the answer holds no thought.
    """
    context = context_of(runtime)
    state = pending_state(state)
    turn = last_turn(state["branch"])
    names = context.thinker_names
    messages = user_messages(state["messages"], state["branch"], turn, user_of(runtime))
    remembers = MEMORY in names
    scanned = scan_messages(messages) if remembers else []
    ending = render(
        "joint",
        aspects="\n\n".join(map(thinker_task, context.thinkers)),
        names=", ".join(f'"{name}"' for name in names),
        # Only memory takes notes, so without it the ledger is not in the prompt.
        ledger=ledger_task(await load_ledger(state, runtime), scanned) if remembers else "",
        notes=notes_task() if remembers else "",
    )
    prompt = thinker_prompt(state, unread_exchanges(state, context), ending)
    most = THOUGHT_TOKENS * len(names) + NOTES_TOKENS
    answer = await ask_structured(JOINT, prompt, _schema(names, remembers), context, turn, most)
    thoughts = _thoughts_in(answer.value, names, turn)
    # An answer without a thought is a failed call: committed, it would count the turn as thought about.
    if not thoughts:
        raise CallError(JOINT, "the answer contained no thought", transient=True)
    update: MirrorUpdate = {"drafts": thoughts, "usage": add_usage(state, JOINT, turn, answer.tokens)}
    if isinstance(answer.value, LedgerNotes):
        update["notes"] = verify_notes(answer.value, messages, scanned, turn, time.time())
    return update


def _thoughts_in(answer: BaseModel, names: tuple[str, ...], turn: int) -> list[Thought]:
    """Return the thoughts of an answer, without those of the thinkers whose part of it is empty."""
    thoughts: list[Thought] = []
    for name in names:
        draft = thought(name, turn, str(getattr(answer, name)))
        if draft["text"]:
            thoughts.append(draft)
    return thoughts


@lru_cache
def _schema(names: tuple[str, ...], remembers: bool) -> type[BaseModel]:
    """Return what is asked for: a thought for each name, and after them the notes."""
    fields = dict.fromkeys(names, (str, ...))
    thoughts: type[BaseModel] = create_model("Thoughts", **fields)  # type: ignore[call-overload]  # fields by name
    return create_model("Thoughts", __base__=(LedgerNotes, thoughts)) if remembers else thoughts
