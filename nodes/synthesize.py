"""The synthesis: one bounded first-person narrative from the new thoughts and the last narrative."""

from langchain_core.messages import BaseMessage, HumanMessage, RemoveMessage, SystemMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.runtime import Runtime

from mirror_graph.nodes.asking import ask, choices
from mirror_graph.nodes.think import spoken, unthought
from mirror_graph.prompts import quoted, render, unmarked
from mirror_graph.state import SCHEMA_VERSION, Exchange, MindState, MirrorContext, MirrorUpdate, Passage, Thought
from mirror_graph.state.mind import PassState
from mirror_graph.state.reducers import NARRATIVE_LIMIT, passage_tokens, trim
from mirror_graph.state.tokens import cut_to_sentence
from mirror_graph.state.usage import spent
from mirror_graph.state.window import last_turn

WORDS_PER_TOKEN = 0.6


async def synthesize(state: PassState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Commit the pass: narrative, thoughts and monologue together, or nothing of it.

    Without a single thought, where thoughts were asked for, the mind stays as it is, and what was said
    waits for the next pass. Where nothing new was said, only the turn moves on.
    """
    context = choices(runtime)
    turn = last_turn(state["messages"])
    exchanges = unthought(state, context)
    if not exchanges:
        return {"turn": turn, "schema_version": SCHEMA_VERSION}
    thoughts = [draft for draft in state.get("drafts", []) if draft["turn"] == turn]
    if not thoughts and context.thinking != "synthesis_only":
        return {}
    committed: MirrorUpdate = {
        "thoughts": thoughts,
        "monologue": go_on(state, turn, exchanges, thoughts, context.monologue_tokens),
        "turn": turn,
        "schema_version": SCHEMA_VERSION,
    }
    if context.thinking == "monologue_only":
        return committed
    longest = min(NARRATIVE_LIMIT, context.narrative_tokens * 3 // 2)
    answer = await ask("synthesis", request(state, exchanges, thoughts, context), context, turn, longest)
    text = cut_to_sentence(answer.text, context.narrative_tokens)
    return {
        **committed,
        "narrative": {"turn": turn, "text": text},
        "usage": spent(state, "synthesis", turn, answer.tokens),
    }


def commit(state: PassState) -> MirrorUpdate:
    """End a pass on the mind's own thread: what was said has been thought about, or will be handed over again."""
    return {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES)]}


def request(
    state: MindState, exchanges: list[Exchange], thoughts: list[Thought], context: MirrorContext
) -> list[BaseMessage]:
    """Lay out what the synthesis reads: the last narrative and the new thoughts, not the conversation.

    Only where nobody thought before it (`synthesis_only`) does it read what was said itself.
    """
    last = state["narrative"].get("text") or "None yet."
    if thoughts:
        news = "What I have just thought:\n" + "\n".join(f"- {it['thinker']}: {quoted(it['text'])}" for it in thoughts)
    else:
        news = f"What was just said:\n{spoken(exchanges)}"
    words = str(int(context.narrative_tokens * WORDS_PER_TOKEN))
    return [
        SystemMessage(render("synthesis")),
        HumanMessage(render("synthesis_request", narrative=unmarked(last), news=news, words=words)),
    ]


def go_on(
    state: MindState, turn: int, exchanges: list[Exchange], thoughts: list[Thought], tokens: int
) -> list[Passage]:
    """Append this pass to the monologue; past `tokens` its oldest passages leave, in steps."""
    passage: Passage = {"turn": turn, "exchanges": exchanges, "thoughts": thoughts}
    return trim([*state["monologue"], passage], tokens, passage_tokens)
