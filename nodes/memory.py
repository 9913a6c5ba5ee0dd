"""`memory`: a thought, and notes for the ledger, from one call."""

import time

from langgraph.runtime import Runtime
from pydantic import BaseModel

from mirror_graph.calls.model_call import context_of
from mirror_graph.calls.structured import ask_structured
from mirror_graph.ledger.access import load_ledger, user_of
from mirror_graph.ledger.notes import NOTES_TOKENS, LedgerNotes, ledger_task, notes_task, verify_notes
from mirror_graph.ledger.user_messages import scan_messages, user_messages
from mirror_graph.nodes.thinker import (
    THOUGHT_TOKENS,
    pending_state,
    thinker_prompt,
    thinker_task,
    thought,
    unread_exchanges,
)
from mirror_graph.prompts import render
from mirror_graph.state import MirrorContext, MirrorUpdate
from mirror_graph.state.branch import last_turn
from mirror_graph.state.schema import PassState
from mirror_graph.state.usage import add_usage

MEMORY = "memory"


class OneThought(BaseModel):
    """A thought. Of two bases the last gives its fields first: a model thinks before it takes notes."""

    thought: str


class Memory(LedgerNotes, OneThought):
    """What the memory thinker answers."""


async def remember(state: PassState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Think about memory, and note for the ledger what the user stated in their own words."""
    context = context_of(runtime)
    state = pending_state(state)
    turn = last_turn(state["branch"])
    messages = user_messages(state["messages"], state["branch"], turn, user_of(runtime))
    scanned = scan_messages(messages)
    ledger = ledger_task(await load_ledger(state, runtime), scanned)
    ending = render("memory_answer", task=thinker_task(MEMORY), ledger=ledger, notes=notes_task())
    prompt = thinker_prompt(state, unread_exchanges(state, context), ending)
    answer = await ask_structured(MEMORY, prompt, Memory, context, turn, THOUGHT_TOKENS + NOTES_TOKENS, plain_thought)
    draft = thought(MEMORY, turn, answer.value.thought)
    return {
        # The notes count without a thought: a model may have something to note and nothing to think.
        "drafts": [draft] if draft["text"] else [],
        "notes": verify_notes(answer.value, messages, scanned, turn, time.time()),
        "usage": add_usage(state, MEMORY, turn, answer.tokens),
    }


def plain_thought(text: str) -> Memory:
    """Return a plain answer as a thought without notes."""
    # Prose says nothing certain about the ledger. What the scanner caught holds without it.
    return Memory(thought=text, told=[], taken_back=[], no_danger=[])
