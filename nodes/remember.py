"""The memory thinker: a thought, and what it takes down in the ledger, from one call."""

import time

from langgraph.runtime import Runtime
from pydantic import BaseModel

from mirror_graph.ledger.hearing import listen, scanned
from mirror_graph.nodes.asking import choices
from mirror_graph.nodes.known import known, whose
from mirror_graph.nodes.noting import NOTES_TOKENS, LedgerNotes, ledger_task, notes_task, take_notes
from mirror_graph.nodes.structured import ask_structured
from mirror_graph.nodes.think import THOUGHT_TOKENS, pending_state, stream, task, thought, unthought
from mirror_graph.prompts import render
from mirror_graph.state import MirrorContext, MirrorUpdate
from mirror_graph.state.branch import last_turn
from mirror_graph.state.mind import PassState
from mirror_graph.state.usage import spent

MEMORY = "memory"


class OneThought(BaseModel):
    """A thought. Of two bases the last gives its fields first: a model thinks before it takes notes."""

    thought: str


class Memory(LedgerNotes, OneThought):
    """What the memory thinker answers."""


async def remember(state: PassState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Think about memory, and note for the ledger what the user told of themselves in their own words."""
    context = choices(runtime)
    state = pending_state(state)
    turn = last_turn(state["branch"])
    heard = listen(state["messages"], state["branch"], turn, whose(runtime))
    caught = scanned(heard)
    ledger = ledger_task(await known(state, runtime), caught)
    ending = render("memory_answer", task=task(MEMORY), ledger=ledger, notes=notes_task())
    prompt = stream(state, unthought(state, context), ending)
    answer = await ask_structured(MEMORY, prompt, Memory, context, turn, THOUGHT_TOKENS + NOTES_TOKENS, plain_thought)
    draft = thought(MEMORY, turn, answer.value.thought)
    return {
        "drafts": [draft] if draft["text"] else [],
        "notes": take_notes(answer.value, heard, caught, turn, time.time()),
        "usage": spent(state, MEMORY, turn, answer.tokens),
    }


def plain_thought(text: str) -> Memory:
    """Take a plain answer as a thought without notes."""
    return Memory(thought=text, told=[], taken_back=[], no_danger=[])
