"""The thinkers: each one thinks about one side of the new exchanges."""

import re
from dataclasses import dataclass
from typing import TypeVar, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.runtime import Runtime

from mirror_graph.calls.model_call import ask, context_of
from mirror_graph.prompts import quoted, render
from mirror_graph.state import Exchange, MindState, MirrorContext, MirrorUpdate, Thought
from mirror_graph.state.branch import after_other_branch, current_branch, is_on_branch, last_turn, on_branch, read_turn
from mirror_graph.state.references import is_named
from mirror_graph.state.schema import PassState
from mirror_graph.state.tokens import CUT, truncate_at_sentence
from mirror_graph.state.usage import add_usage
from mirror_graph.state.window import exchanges_of, new_exchanges, pending_exchanges, truncate_exchanges

_Pass = TypeVar("_Pass", bound=PassState)

THOUGHT_TOKENS = 400
"""The longest thought: one to three sentences (paper, section on the inner monologue), with room to spare."""


class CustomThinkerState(PassState, total=False):
    """What a thinker without a node of its own receives: the thread, and which thinker it is."""

    thinker: str


@dataclass(frozen=True)
class Thinker:
    """One thinker. Without a name it reads `"name: what it thinks about"` from the state that it is sent."""

    thinker: str = ""

    async def __call__(self, state: CustomThinkerState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
        """Think one thought about the exchanges since the mind's turn."""
        context = context_of(runtime)
        thinker = self.thinker or state["thinker"]
        name = thinker.partition(":")[0].strip()
        state = pending_state(state)
        turn = last_turn(state["branch"])
        exchanges = unread_exchanges(state, context)
        answer = await ask(name, thinker_prompt(state, exchanges, thinker_task(thinker)), context, turn, THOUGHT_TOKENS)
        return {"drafts": [thought(name, turn, answer.text)], "usage": add_usage(state, name, turn, answer.tokens)}


def thought(name: str, turn: int, text: str) -> Thought:
    """Return a thinker's thought: bounded, and without its own name in front, which small models often repeat."""
    words = re.sub(rf"^\W*{name}\W*:\W*", "", text.strip(), flags=re.IGNORECASE)
    return {"thinker": name, "turn": turn, "text": truncate_at_sentence(words, THOUGHT_TOKENS)}


def pending_state(state: _Pass) -> _Pass:
    """Return a pass's state with the mind on the conversation's branch, and of the messages those it has not read.

    A mind that has read more than the pass knows of is left alone: the pass is late, and has nothing to add.
    """
    branch = current_branch(state["messages"], state["branch"])
    if not branch or state["turn"] > last_turn(branch):
        return cast(_Pass, {**state, "branch": branch, "messages": []})
    # The user edited a message that the mind has read: the mind forgets what it made of the old one.
    if not is_on_branch(state, branch):
        branch, state = after_other_branch(branch, state["turn"]), on_branch(state, branch)
    messages = pending_exchanges(state["messages"], read_turn(state), branch)
    return cast(_Pass, {**state, "branch": branch, "messages": messages})


def unread_exchanges(state: PassState, context: MirrorContext) -> list[Exchange]:
    """Return the new exchanges of a `pending_state`, shortened to half of the monologue's budget."""
    known = state["monologue"][-1]["exchanges"] if state["monologue"] else []
    exchanges = exchanges_of(state["messages"], state["branch"])
    return truncate_exchanges(new_exchanges(exchanges, known), context.monologue_tokens // 2)


def thinker_task(thinker: str) -> str:
    """Return what a thinker is asked to do: its own template, or what `"name: what it thinks about"` says."""
    name, _, about = thinker.partition(":")
    if not about.strip():
        return render(name.strip())
    return render("own", name=name.strip(), about=about.strip())


def thinker_prompt(state: MindState, exchanges: list[Exchange], ending: str) -> list[BaseMessage]:
    """Return the thinkers' shared prompt: each exchange followed by the thoughts about it, then `ending`.

    Up to `ending` it is the same for every thinker, byte for byte, and it only grows at its end, so that a
    provider's prompt cache serves all of them.
    """
    prompt: list[BaseMessage] = [SystemMessage(render("thinker"))]
    for passage in state["monologue"]:
        # What the user has removed from the conversation since is no longer there to be read.
        exchanges_left = [exchange for exchange in passage["exchanges"] if not is_named(exchange)]
        thoughts = [earlier["text"] for earlier in passage["thoughts"]]
        prompt.append(HumanMessage(render_exchanges(exchanges_left) or CUT.strip()))
        prompt.append(AIMessage("\n".join(thoughts)))
    return [*prompt, HumanMessage(f"{render_exchanges(exchanges)}\n\n{ending}")]


def render_exchanges(exchanges: list[Exchange]) -> str:
    """Render exchanges, each side as one quoted line: what a user writes is data, and never an instruction."""
    rendered: list[str] = []
    for exchange in exchanges:
        user, reply = quoted(exchange["user"]), quoted(exchange["reply"])
        rendered.append(render("exchange", turn=str(exchange["turn"]), user=user, reply=reply))
    return "\n\n".join(rendered)
