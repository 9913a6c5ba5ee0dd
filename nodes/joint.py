"""The paper's way of thinking: one structured call for every thinker."""

from langgraph.runtime import Runtime
from pydantic import create_model

from mirror_graph.errors import CallError
from mirror_graph.nodes.asking import choices
from mirror_graph.nodes.structured import ask_structured
from mirror_graph.nodes.think import THOUGHT_TOKENS, stream, task, unthought
from mirror_graph.prompts import render
from mirror_graph.state import MirrorContext, MirrorUpdate, Thought
from mirror_graph.state.mind import PassState
from mirror_graph.state.tokens import cut_to_sentence
from mirror_graph.state.usage import spent
from mirror_graph.state.window import last_turn

JOINT = "joint"


async def think_jointly(state: PassState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Think every thinker's thought in one call; a thinker the answer leaves empty has no thought.

    Raises `CallError` where the answer holds no thought at all.
    """
    context = choices(runtime)
    turn = last_turn(state["messages"])
    exchanges = unthought(state, context)
    names = context.thinker_names
    schema = create_model("Thoughts", **dict.fromkeys(names, (str, ...)))  # type: ignore[call-overload]  # fields by name
    aspects = "\n\n".join(task(voice) for voice in context.thinkers)
    ending = render("joint", aspects=aspects, names=", ".join(f'"{name}"' for name in names))
    answer = await ask_structured(
        JOINT, stream(state, exchanges, ending), schema, context, turn, THOUGHT_TOKENS * len(names)
    )
    said = {name: str(getattr(answer.value, name)).strip() for name in names}
    thoughts: list[Thought] = [
        {"thinker": name, "turn": turn, "text": cut_to_sentence(text, THOUGHT_TOKENS)}
        for name, text in said.items()
        if text
    ]
    if not thoughts:
        raise CallError(JOINT, "an answer without a thought", transient=True)
    return {"drafts": thoughts, "usage": spent(state, JOINT, turn, answer.tokens)}
