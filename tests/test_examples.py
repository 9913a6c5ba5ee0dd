"""The programs in `examples/`: what each of the agents there says, streams, asks its model and thinks."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi.testclient import TestClient
from langchain_core.messages import AIMessageChunk

from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from tests.agents import Stage, is_agents, mark_of, request, thread

EXAMPLES = Path(__file__).parents[1] / "examples"
AGENTS = ["middleware", "deep_agent", "supervisor", "swarm"]

# langgraph-supervisor stands on a function that LangGraph is going to move.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def stage(endpoint: Endpoint) -> Stage:
    return Stage(endpoint)


@pytest.fixture
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of an example, as its own folder imports it: new for each test, as its middleware is."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    sys.modules.pop(request.param, None)
    return importlib.import_module(request.param)


def naive(call: Call) -> Answer | str:
    conversation = importlib.import_module("conversation")
    if is_agents(call) or call.body.get("tools"):
        answer: Answer | str = conversation.naive(call)
        return answer
    return f"I heard of {len(call.prompt)} things."


def pieces_of(events: list[Any]) -> str:
    return "".join(piece.text for _, (piece, _) in events if isinstance(piece, AIMessageChunk))


def check(example: ModuleType, stage: Stage, streamed: str, values: dict[str, Any]) -> None:
    """Check the twelfth turn, whose request is risky, and all calls before it."""
    statement = importlib.import_module("conversation").TURNS[1]
    last = stage.calls[-1]
    assert f'They said: "{statement}"' in last.prompt
    assert statement not in [message["content"] for message in last.messages]  # it has left the window
    reply = [message for message in values["messages"] if "turn" in message.response_metadata.get("mirror", {})][-1]
    assert reply.text.startswith("The satay is lovely.")
    assert statement.rstrip(".") in reply.text
    assert reply.text in streamed
    assert "things." not in streamed  # what thinkers say
    assert (mark_of(reply)["turn"], mark_of(reply)["lag"]) == (12, 0)
    assert stage.endpoint.refused == []


@pytest.mark.parametrize(
    "example",
    ["deep_agent", *(pytest.param(name, marks=pytest.mark.slow) for name in ("middleware", "supervisor", "swarm"))],
    indirect=True,
)
async def test_a_danger_of_turn_2_is_named_on_turn_12(example: ModuleType, stage: Stage) -> None:
    stage.endpoint.answer = naive
    agent = example.build(stage.model)

    events: list[Any] = []
    options: dict[str, Any] = {"stream_mode": "messages", "subgraphs": True}
    for text in importlib.import_module("conversation").TURNS:
        events = [event async for event in agent.astream(request(text), thread(), **options)]
        assert await example.mirror.settle("thread-1", timeout=30)

    check(example, stage, pieces_of(events), (await agent.aget_state(thread())).values)
    assert (await example.mirror.mind("thread-1")).lag == 0


@pytest.mark.slow
@pytest.mark.parametrize("example", AGENTS, indirect=True)
def test_a_danger_of_turn_2_is_named_on_turn_12_without_an_event_loop(example: ModuleType, stage: Stage) -> None:
    stage.endpoint.answer = naive
    agent = example.build(stage.model)

    events: list[Any] = []
    options: dict[str, Any] = {"stream_mode": "messages", "subgraphs": True}
    for text in importlib.import_module("conversation").TURNS:
        events = list(agent.stream(request(text), thread(), **options))
        assert example.mirror.settle_sync("thread-1", timeout=30)

    check(example, stage, pieces_of(events), agent.get_state(thread()).values)
    assert example.mirror.mind_sync("thread-1").lag == 0
    example.mirror.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", AGENTS)
def test_each_agent_runs_as_it_stands(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", f"{name}.py"], cwd=EXAMPLES, capture_output=True, text=True, timeout=100
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "you told me “I'm severely allergic to peanuts”" in done.stdout
    assert done.stdout.rstrip().endswith("(lag 0)")


PRINTS = {
    "hello": ["They are allergic to shellfish", "you told me"],
    "stream": ["you told me", "(turn 2, guarded: ({'constraint':"],
    "custom_thinker": ["goals: ", "guests: ", "memory: ", "reasoning: "],
    "own_model": ["You say: Which satay shall I order?", "you told me"],
    "user_constraints": ["you told me", '"about": "peanuts"', "after forget: []"],
    "guard_any_model": ["guarded:  The satay is lovely", "you told me"],
    "evaluation": ["failed {'n': 2, 'notes': 2}", "passed {'n': 1, 'notes': 0}"],
    "mcp_tools": ["This call was not made", "I have not ordered it."],
    "recommend": ["1. Tomato soup", "withheld: [('Shrimp skewers'", "1. Ribollita", "(missing: 2)"],
    "mirror_node": ["you told me", "'turn': 12"],
    "sync": ["you told me", "{'turn': 12, 'lag': 0}"],
}
"""What each program without a server prints, in this order."""

ELSEWHERE = {"conversation", "langgraph_app", "mcp_menu", "remote_graph", "fastapi_host", *AGENTS}
"""Parts of other examples, and programs that have tests of their own."""


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTS)
def test_each_program_prints_what_it_promises(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert (done.returncode, done.stderr) == (0, "")
    place = 0
    for text in PRINTS[name]:
        place = done.stdout.find(text, place)
        assert place >= 0, (text, done.stdout)


def test_every_example_has_a_test() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*PRINTS, *ELSEWHERE}


def test_the_fastapi_example_streams_a_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    with TestClient(importlib.import_module("fastapi_host").app) as client:
        client.post("/threads/dinner", json={"text": "I'm severely allergic to shellfish."})
        assert "you told me" in client.post("/threads/dinner", json={"text": "Shall we order the paella?"}).text
