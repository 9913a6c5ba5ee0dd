"""The arms: ways of remembering that are compared, one table. A new arm is a function of ten lines and its entry."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, NamedTuple

from inspect_ai.agent import agent_bridge
from inspect_ai.event import ModelEvent
from inspect_ai.log import transcript
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    ModelOutput,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from mirror_graph.errors import ConfigurationError
from mirror_graph.evals.curate.inspect_model import NoAnswerError, answer, name_under_test
from mirror_graph.graphs import build_mirror
from mirror_graph.models import ScriptedModel
from mirror_graph.prompts import render
from mirror_graph.state import MirrorContext
from mirror_graph.state.tokens import count_tokens


class Said(NamedTuple):
    """A reply, the seconds its calls took, how many turns the mind was behind, and failures so far."""

    text: str
    seconds: float | None
    lag: int = 0
    failures: int = 0


Say = Callable[[str, bool, str], Awaitable[Said]]
"""Say something to an arm. It returns when the arm has also thought, remembered or stored what it wants to, if it
is to think about it at all (the second argument): nothing that follows the last reply is ever judged. With a third
argument that is not empty, the model is not asked, and that is its reply."""


@dataclass(frozen=True)
class Setup:
    """What all arms of a run share: tokens of a reply, of the window where an arm has one, and of what is not heard.

    `inner_tokens` bounds a thought and an account of the arms that are not MIRROR's, which has bounds of its own.

    Without `think_last` no arm thinks about the last turn: no score differs, and the costs of a turn are too low. With
    `canned`, that is every reply but the last, in all arms alike.
    """

    reply_tokens: int = 100
    window_tokens: int = 1_000
    paper_window_tokens: int = 20_000
    monologue_tokens: int = 10_000
    inner_tokens: int = 1_200
    think_last: bool = True
    canned: str = ""

    def changes(self) -> dict[str, Any]:
        """Return what differs from the defaults: what a task is known by when it is resumed."""
        return {
            choice.name: value for choice in fields(self) if (value := getattr(self, choice.name)) != choice.default
        }


Arm = Callable[[Setup], AbstractAsyncContextManager[Say]]


@asynccontextmanager
async def chat(setup: Setup, *, directed: bool = False, windowed: bool = False) -> AsyncIterator[Say]:
    """Talk to the model itself: with the safety directive or without, with the whole history or a window of it."""
    history: list[ChatMessage] = []
    system: list[ChatMessage] = [ChatMessageSystem(content=directive())] if directed else []

    async def say(words: str, think: bool, canned: str) -> Said:
        history.append(ChatMessageUser(content=words))
        prompt = [*system, *(recent(history, setup.window_tokens) if windowed else history)]
        return await _reply(prompt, history, setup, canned)

    yield say


@asynccontextmanager
async def paper(setup: Setup) -> AsyncIterator[Say]:
    """Talk as the paper's system: joint thoughts, no ledger, the narrative in a system message before the history.

    It has prompts of its own and shares no code with MIRROR, so that it stays what the paper describes.
    """
    history: list[ChatMessage] = []
    monologue: list[ChatMessage] = []
    narrative = ""
    failures = 0

    async def say(words: str, think: bool, canned: str) -> Said:
        nonlocal narrative, failures
        history.append(ChatMessageUser(content=words))
        system = "\n\n".join(filter(None, [directive(), narrative]))
        window = recent(history[1:], setup.paper_window_tokens)
        said = await _reply([ChatMessageSystem(content=system), history[0], *window], history, setup, canned)
        if not think:
            return said
        monologue.append(ChatMessageUser(content=f"They said: {words}\n\nI replied: {said.text}"))
        try:
            thoughts = await _ask("paper_thoughts", recent(monologue, setup.monologue_tokens), setup)
            monologue.append(ChatMessageAssistant(content=thoughts))
            news = f"My last narrative:\n{narrative or 'None yet.'}\n\nMy newest thoughts:\n{thoughts}"
            narrative = await _ask("paper_narrative", [ChatMessageUser(content=news)], setup)
        except NoAnswerError:
            failures += 1
        return said._replace(failures=failures)

    yield say


@asynccontextmanager
async def mirror(setup: Setup, **choices: Any) -> AsyncIterator[Say]:
    """Talk to MIRROR: its graph for batch work, which ends a turn when the thinking about it does."""
    graph = build_mirror().compile(checkpointer=InMemorySaver())
    context = _context(setup, **choices)
    config: RunnableConfig = {"configurable": {"thread_id": "sample"}}

    async def say(words: str, think: bool, canned: str) -> Said:
        before = len(_calls())
        said: Said | None = None
        message = HumanMessage(words)
        chosen = context if think else replace(context, thinking="off")
        if canned:
            chosen = replace(chosen, talker_model=ScriptedModel(script=lambda _: canned))
        async for update in graph.astream({"messages": [message]}, config, context=chosen, stream_mode="updates"):
            if "talker" in update:
                reply = next(
                    message for message in reversed(update["talker"]["messages"]) if isinstance(message, AIMessage)
                )
                lag = reply.response_metadata["mirror"]["lag"]
                said = Said(reply.text, _seconds(_calls()[before:]), lag)
        assert said is not None
        return said._replace(failures=_failures((await graph.aget_state(config)).values))

    yield say


@asynccontextmanager
async def langmem(setup: Setup) -> AsyncIterator[Say]:
    """Talk with LangMem's memory manager: the same window, and its memories in a system message."""
    from langmem import create_memory_manager  # type: ignore[import-not-found]  # an extra

    bridged = ChatOpenAI(model="inspect", api_key=SecretStr("none"), max_completion_tokens=setup.inner_tokens)
    manager: Any = create_memory_manager(bridged)
    history: list[ChatMessage] = []
    memories: list[Any] = []

    async def say(words: str, think: bool, canned: str) -> Said:
        history.append(ChatMessageUser(content=words))
        known = "\n".join(str(getattr(memory.content, "content", memory.content)) for memory in memories)
        system = "\n\n".join(filter(None, [directive(), known and f"What you remember about the user:\n{known}"]))
        window = recent(history, setup.window_tokens)
        said = await _reply([ChatMessageSystem(content=system), *window], history, setup, canned)
        if not think:
            return said
        exchange = [HumanMessage(words), AIMessage(said.text)]
        memories[:] = await manager.ainvoke({"messages": exchange, "existing": memories})
        return said

    async with agent_bridge(forward_generation_config=True):  # it brings a client of its own
        yield say


ARMS: dict[str, Arm] = {
    "bare": chat,
    "directive": partial(chat, directed=True),
    "window": partial(chat, directed=True, windowed=True),
    "paper": paper,
    "joint": partial(mirror, thinking="joint"),
    "synthesis_only": partial(mirror, thinking="synthesis_only"),
    "monologue_only": partial(mirror, thinking="monologue_only"),
    "ledger_only": partial(mirror, thinking="off", guard="off"),
    "naive_ledger": partial(mirror, thinking="off", guard="off", relevance="talker"),
    "guard": partial(mirror, thinking="off", guard="note"),
    "guard_open": partial(mirror, thinking="off", guard="open"),
    "guard_hold": partial(mirror, thinking="off", guard="hold"),
    "full": mirror,
    "full_open": partial(mirror, guard="open"),
    "langmem": langmem,
}
"""Every arm but `bare` has the same safety directive; all have the same sampling and the same cap on a reply."""


def directive() -> str:
    """Return the safety rule of MIRROR's own talker, word for word, for the arms that have another talker."""
    rules = [line for line in render("talker", instructions="").splitlines() if "safety" in line]
    return "\n".join(rule.removeprefix("- ") for rule in rules)


def recent(history: list[ChatMessage], tokens: int) -> list[ChatMessage]:
    """Return the newest messages that fit `tokens` together, the last one always among them."""
    shortened: list[ChatMessage] = []
    for message in reversed(history):
        tokens -= count_tokens(message.text)
        if shortened and tokens < 0:
            break
        shortened.insert(0, message)
    return shortened


@solver
def converse(arm: str, setup: dict[str, Any] | None = None) -> Solver:
    """Say a sample's turns to an arm, one after the other."""
    if arm not in ARMS:
        raise ConfigurationError(f"unknown arm {arm!r}: expected one of {', '.join(ARMS)}")
    if arm == "langmem" and not find_spec("langmem"):
        raise ConfigurationError("the arm 'langmem' needs its package: pip install langmem")
    shared = replace(Setup(), **(setup or {}))

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        turns = [message.text for message in state.messages]
        state.messages = []
        replies: list[dict[str, Any]] = []
        async with ARMS[arm](shared) as say:
            for number, words in enumerate(turns, 1):
                is_last = number == len(turns)
                said = await say(words, not is_last or shared.think_last, "" if is_last else shared.canned)
                state.messages += [ChatMessageUser(content=words), ChatMessageAssistant(content=said.text)]
                replies.append({"seconds": said.seconds, "lag": said.lag, "failures": said.failures})
        state.store.set("replies", replies)
        state.output = ModelOutput.from_content(str(state.model), state.messages[-1].text)
        return state

    return solve


async def _reply(prompt: list[ChatMessage], history: list[ChatMessage], setup: Setup, canned: str) -> Said:
    if canned:
        history.append(ChatMessageAssistant(content=canned))
        return Said(canned, None)
    before = len(_calls())
    output = await answer(prompt, GenerateConfig(max_tokens=setup.reply_tokens))
    history.append(ChatMessageAssistant(content=output.completion))
    return Said(output.completion, _seconds(_calls()[before:]))


async def _ask(prompt: str, messages: list[ChatMessage], setup: Setup) -> str:
    system = files("mirror_graph.evals.curate").joinpath(f"{prompt}.md").read_text("utf-8")
    config = GenerateConfig(max_tokens=setup.inner_tokens)
    return (await answer([ChatMessageSystem(content=system), *messages], config)).completion


def _calls() -> list[ModelEvent]:
    return [event for event in transcript().events if isinstance(event, ModelEvent)]


def _seconds(calls: list[ModelEvent]) -> float | None:
    """Return what a reply's calls took their endpoint, one after the other, or None where one was read from the cache.

    How long they stood in line for a connection says something of the harness only.
    """
    times = [call.working_time for call in calls if call.cache != "read"]
    return sum(time for time in times if time is not None) if len(times) == len(calls) else None


def _context(setup: Setup, **choices: Any) -> MirrorContext:
    return MirrorContext(
        **{
            "talker_model": name_under_test(setup.reply_tokens),
            "thinker_model": name_under_test(),
            "synthesis_model": name_under_test(),
            "window_tokens": setup.window_tokens,
            "talker_timeout": 3_600.0,  # Inspect times the calls
            "thinker_timeout": 3_600.0,
            **choices,
        }
    )


def _failures(mind: dict[str, Any]) -> int:
    return sum(failure["count"] for failure in mind["failures"].values())
