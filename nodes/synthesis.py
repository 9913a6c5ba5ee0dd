"""`synthesis`: one bounded first-person narrative from the new thoughts and the last narrative."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.runtime import Runtime

from mirror_graph.calls.model_call import ask, context_of
from mirror_graph.ledger.access import commit_ledger, user_of
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
from mirror_graph.state.constraints import active, heaviest, unconfirmed
from mirror_graph.state.reducers import NARRATIVE_LIMIT, entry_tokens, trim
from mirror_graph.state.schema import PassState
from mirror_graph.state.usage import NO_TOKENS, add_tokens, add_usage
from mirror_graph.state.window import is_users

WORDS_PER_TOKEN = 0.6

IDENTIFIED_PASSAGES = 8
"""How many of the newest passages name their messages: an edit further back than that withdraws no constraint."""


async def synthesize(state: PassState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Commit the pass: narrative, thoughts, monologue and ledger together, or nothing of it.

    If thoughts were asked for and none came, the mind stays as it is, and the exchanges wait for the next pass. If
    there is no new exchange, only the turn moves on.
    """
    context = context_of(runtime)
    handed_over = state["messages"]
    state = pending_state(state)
    turn = last_turn(state["branch"])
    exchanges = unread_exchanges(state, context)
    read: MirrorUpdate = {"turn": turn, "read": state["branch"][-1], "schema_version": SCHEMA_VERSION}
    if not exchanges:
        return read
    # Drafts of another turn are left over from a pass that was cut off.
    thoughts = [draft for draft in state.get("drafts", []) if draft["turn"] == turn]
    # Every thinker failed. The turn does not move on, so that the next pass reads these exchanges again.
    if not thoughts and context.thinking != "synthesis_only":
        return {}
    committed: MirrorUpdate = {
        "thoughts": thoughts,
        "monologue": extend_monologue(state, turn, exchanges, thoughts, context.monologue_tokens),
        **read,
        **await new_ledger(state, handed_over, turn, runtime),
    }
    if context.thinking == "monologue_only":
        return committed
    draft = await write_narrative(state, exchanges, thoughts, committed["constraints"], context)
    # The thoughts and the ledger count without a new narrative, and the last one stays.
    if draft.text is None:
        return {**committed, "usage": add_usage(state, "synthesis", turn, draft.tokens)}
    narrative: Narrative = {"turn": turn, "text": draft.text, "reply": state["branch"][-1]["reply"]}
    return {**committed, "narrative": narrative, "usage": add_usage(state, "synthesis", turn, draft.tokens)}


class NarrativeDraft(NamedTuple):
    """A narrative that leaves no danger out, or None if there is none, and the tokens that the calls took."""

    text: str | None
    tokens: Tokens


async def write_narrative(
    state: PassState,
    exchanges: list[Exchange],
    thoughts: list[Thought],
    ledger: list[SafetyConstraint],
    context: MirrorContext,
) -> NarrativeDraft:
    """Ask for a new narrative and check it in code; ask once more if it cannot be repaired.

    If that fails too, the draft has no text, and the old narrative stays. Its turn says how old it is.
    """
    turn = last_turn(state["branch"])
    prompt = synthesis_prompt(state, exchanges, thoughts, context)
    tokens = NO_TOKENS
    for _ in range(2):
        answer = await ask("synthesis", prompt, context, turn, min(NARRATIVE_LIMIT, context.narrative_tokens * 3 // 2))
        tokens = add_tokens(tokens, answer.tokens)
        # A small model repeats the last line of its prompt at the end. The talker would repeat it to the user.
        asked_for = prompt[-1].text.rpartition("\n")[2]
        text = restore_dangers(answer.text.replace(asked_for, "").strip(), ledger, context.narrative_tokens)
        if text is not None:
            return NarrativeDraft(text, tokens)
        dangers = "; ".join(quoted(constraint["about"]) for constraint in active(ledger))
        prompt = [*prompt, AIMessage(answer.text), HumanMessage(render("repair", dangers=dangers))]
    return NarrativeDraft(None, tokens)


async def new_ledger(
    state: PassState, handed_over: Sequence[AnyMessage], turn: int, runtime: Runtime[MirrorContext]
) -> MirrorUpdate:
    """Return the ledger after this pass and publish it; what a full one had no room for is counted.

    `handed_over` are the messages that the pass was given; an earlier pass may have read some of them.
    """
    latest = state.get("notes")
    # Notes of another turn are left over from a pass that was cut off.
    notes = latest if latest and latest["turn"] == turn else None
    triggers = state.get("triggers") or {}
    messages = user_messages(state["messages"], state["branch"], turn, user_of(runtime))
    evicted = 0

    def after_pass(ledger: list[SafetyConstraint]) -> list[SafetyConstraint]:
        nonlocal evicted
        updated = with_triggers(update_ledger(ledger, messages, notes, time.time()), triggers)
        staying = heaviest(updated)
        evicted = len(updated) - len(staying)
        return staying

    read = {message.id or "" for message in handed_over}
    read |= {constraint["source"]["message"] for constraint in unconfirmed(state["constraints"])}
    update: MirrorUpdate = {"constraints": await commit_ledger(state, runtime, after_pass, read)}
    if evicted:
        count = state["failures"].get("ledger", {"count": 0})["count"] + evicted
        update["failures"] = {"ledger": {"count": count, "turn": turn, "error": "Full"}}
    return update


def with_triggers(ledger: list[SafetyConstraint], triggers: Mapping[str, list[str]]) -> list[SafetyConstraint]:
    """Return `ledger` with the triggers that were generated in this pass, by the id of their constraint."""
    updated: list[SafetyConstraint] = []
    for constraint in ledger:
        generated = triggers.get(constraint["id"])
        updated.append(constraint if generated is None else {**constraint, "triggers": generated})
    return updated


def synthesis_prompt(
    state: MindState, exchanges: list[Exchange], thoughts: list[Thought], context: MirrorContext
) -> list[BaseMessage]:
    """Return the prompt of the synthesis: the last narrative and the new thoughts, but not the conversation.

    Only if no thinker ran before it (`synthesis_only`), it reads the exchanges themselves.
    """
    if thoughts:
        lines = [f"- {thought['thinker']}: {quoted(thought['text'])}" for thought in thoughts]
        news = "\n".join(["What I have just thought:", *lines])
    else:
        news = f"What was just said:\n{render_exchanges(exchanges)}"
    last = state["narrative"].get("text")  # an empty mapping before the first pass
    if last:
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
    # Only a recent edit withdraws a constraint, so only the newest passages need the ids of their messages.
    for old in range(len(monologue) - IDENTIFIED_PASSAGES):
        monologue[old] = {**monologue[old], "messages": []}
    return trim(monologue, tokens, entry_tokens)
