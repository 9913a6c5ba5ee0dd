"""`synthesis`: one bounded first-person narrative from the new thoughts and the last narrative."""

import time
from typing import NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, SystemMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.runtime import Runtime

from mirror_graph.calls.model_call import ask, context_of
from mirror_graph.ledger.access import load_ledger, publish_ledger, user_of
from mirror_graph.ledger.narrative_guard import restore_dangers
from mirror_graph.ledger.update import update_ledger
from mirror_graph.ledger.user_messages import user_messages
from mirror_graph.nodes.thinker import pending_state, render_exchanges, unread_exchanges
from mirror_graph.prompts import quoted, render
from mirror_graph.state import (
    SCHEMA_VERSION,
    Exchange,
    MindState,
    MirrorContext,
    MirrorUpdate,
    MonologueEntry,
    Narrative,
    SafetyConstraint,
    Thought,
    Tokens,
)
from mirror_graph.state.branch import last_turn
from mirror_graph.state.constraints import active, heaviest
from mirror_graph.state.reducers import NARRATIVE_LIMIT, entry_tokens, trim
from mirror_graph.state.schema import PassState
from mirror_graph.state.usage import NO_TOKENS, add_tokens, add_usage
from mirror_graph.state.window import is_users

WORDS_PER_TOKEN = 0.6

IDENTIFIED_PASSAGES = 8
"""How many of the newest passages name their messages: an edit further back than that withdraws no constraint."""


async def synthesize(state: PassState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Commit the pass: narrative, thoughts, monologue and ledger together, or nothing of it.

    Without a single thought, where thoughts were asked for, the mind stays as it is, and what was said
    waits for the next pass. Where nothing new was said, only the turn moves on.
    """
    context = context_of(runtime)
    state = pending_state(state)
    turn = last_turn(state["branch"])
    exchanges = unread_exchanges(state, context)
    read: MirrorUpdate = {"turn": turn, "read": state["branch"][-1], "schema_version": SCHEMA_VERSION}
    if not exchanges:
        return read
    thoughts = [draft for draft in state.get("drafts", []) if draft["turn"] == turn]
    if not thoughts and context.thinking != "synthesis_only":
        return {}
    committed: MirrorUpdate = {
        "thoughts": thoughts,
        "monologue": extend_monologue(state, turn, exchanges, thoughts, context.monologue_tokens),
        **read,
        **new_ledger({**state, "constraints": await load_ledger(state, runtime)}, turn, user_of(runtime)),
    }
    committed["constraints"] = await publish_ledger(committed["constraints"], runtime)
    if context.thinking == "monologue_only":
        return committed
    told = await write_narrative(state, exchanges, thoughts, committed["constraints"], context)
    if told.text is None:
        return {**committed, "usage": add_usage(state, "synthesis", turn, told.tokens)}
    narrative: Narrative = {"turn": turn, "text": told.text, "reply": state["branch"][-1]["reply"]}
    return {**committed, "narrative": narrative, "usage": add_usage(state, "synthesis", turn, told.tokens)}


class NarrativeDraft(NamedTuple):
    """A narrative that leaves no danger out, or None where none could be had; and what the calls took."""

    text: str | None
    tokens: Tokens


async def write_narrative(
    state: PassState,
    exchanges: list[Exchange],
    thoughts: list[Thought],
    ledger: list[SafetyConstraint],
    context: MirrorContext,
) -> NarrativeDraft:
    """Ask for a new narrative and check it in code; ask once more where it cannot be repaired.

    Where that fails too, the old narrative stays: it is stale, and says so by its turn.
    """
    turn = last_turn(state["branch"])
    prompt = synthesis_prompt(state, exchanges, thoughts, context)
    tokens = NO_TOKENS
    for _ in range(2):
        answer = await ask("synthesis", prompt, context, turn, min(NARRATIVE_LIMIT, context.narrative_tokens * 3 // 2))
        tokens = add_tokens(tokens, answer.tokens)
        asked_for = prompt[-1].text.rpartition("\n")[2]  # a small model ends in it, and the talker would say it
        text = restore_dangers(answer.text.replace(asked_for, "").strip(), ledger, context.narrative_tokens)
        if text is not None:
            return NarrativeDraft(text, tokens)
        dangers = "; ".join(quoted(entry["about"]) for entry in active(ledger))
        prompt = [*prompt, AIMessage(answer.text), HumanMessage(render("repair", dangers=dangers))]
    return NarrativeDraft(None, tokens)


def new_ledger(state: PassState, turn: int, user_id: str | None) -> MirrorUpdate:
    """Return the ledger after this pass; what a full one had to let go is counted."""
    notes = state.get("notes")
    heard = user_messages(state["messages"], state["branch"], turn, user_id)
    everything = update_ledger(
        state["constraints"], heard, notes if notes and notes["turn"] == turn else None, time.time()
    )
    touches = state.get("triggers") or {}
    everything = [{**it, "triggers": touches[it["id"]]} if it["id"] in touches else it for it in everything]
    lost = len(everything) - len(heaviest(everything))
    if not lost:
        return {"constraints": everything}
    count = state["failures"].get("ledger", {"count": 0})["count"] + lost
    return {
        "constraints": heaviest(everything),
        "failures": {"ledger": {"count": count, "turn": turn, "error": "Full"}},
    }


def commit(state: PassState) -> MirrorUpdate:
    """End a pass on the mind's own thread: what was said has been thought about, or will be handed over again."""
    return {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES)]}


def synthesis_prompt(
    state: MindState, exchanges: list[Exchange], thoughts: list[Thought], context: MirrorContext
) -> list[BaseMessage]:
    """Lay out what the synthesis reads: the last narrative and the new thoughts, not the conversation.

    Only if no thinker ran before it (`synthesis_only`), it reads the exchanges themselves.
    """
    if thoughts:
        news = "What I have just thought:\n" + "\n".join(f"- {it['thinker']}: {quoted(it['text'])}" for it in thoughts)
    else:
        news = f"What was just said:\n{render_exchanges(exchanges)}"
    if last := state["narrative"].get("text"):
        news = f"{render('last_narrative', narrative=quoted(last))}\n\n{news}"
    words = str(int(context.narrative_tokens * WORDS_PER_TOKEN))
    return [SystemMessage(render("synthesis")), HumanMessage(render("synthesis_request", news=news, words=words))]


def extend_monologue(
    state: PassState, turn: int, exchanges: list[Exchange], thoughts: list[Thought], tokens: int
) -> list[MonologueEntry]:
    """Append this pass to the monologue; past `tokens` its oldest passages leave, in steps."""
    messages = [message.id or "" for message in state["messages"] if is_users(message)]
    passage: MonologueEntry = {
        "turn": turn,
        "exchanges": exchanges,
        "thoughts": thoughts,
        "reply": state["branch"][-1]["reply"],
        "messages": messages,
    }
    monologue = [*state["monologue"], passage]
    for old in range(len(monologue) - IDENTIFIED_PASSAGES):
        monologue[old] = {**monologue[old], "messages": []}
    return trim(monologue, tokens, entry_tokens)
