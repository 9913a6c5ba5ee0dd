"""MIRROR without an event loop of one's own, and next to one that runs already."""

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.store.memory import InMemoryStore

from mirror_graph import MirrorContext, build_mirror, build_talker, build_thinker, open_mirror_sync
from mirror_graph.errors import ReplyError
from mirror_graph.loop_thread import open_loop_thread, shared_loop_thread
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.replies import Replies

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0, guard="off")
FORGETFUL = Path(__file__).with_name("forgetful_program.py")


def test_a_conversation_in_plain_python(endpoint: Endpoint, replies: Replies, database: str | None) -> None:
    with open_mirror_sync(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        first = conversation.say("I'm allergic to peanuts.")
        assert (first.text, first.turn) == ("I hear you.", 1)
        assert conversation.settle(timeout=20)
        stream = conversation.stream("Shall I order the satay?")
        assert "".join(stream) == "I hear you."
        assert (stream.reply.turn, stream.reply.narrative_turn) == (2, 1)
        assert conversation.settle(timeout=20)
        assert conversation.mind().lag == 0
        assert len(conversation.messages()) == 4
        assert conversation.history()[-1]["turn"] == 2
        user = mirror.user("ana")
        [constraint] = user.constraints()
        assert user.edit(constraint["id"], severity="life-threatening")["severity"] == "life-threatening"
        added = user.add("bees", kind="allergy")
        user.forget(added["id"])
        assert '"peanuts"' in user.export()
        assert user.evicted() == 0
        assert mirror.prune() >= 1
        conversation.forget()
        assert conversation.messages() == []


def test_it_works_where_a_loop_runs_and_stays_open_between_cells(endpoint: Endpoint, replies: Replies) -> None:
    async def notebook() -> list[str]:
        mirror = open_mirror_sync(context=CONTEXT)
        replies = [mirror.conversation("t").say("Hello").text]
        await asyncio.sleep(0)
        replies.append(mirror.conversation("t").say("Hello again").text)
        mirror.close()
        mirror.close()
        return replies

    assert asyncio.run(notebook()) == ["I hear you.", "I hear you."]


def test_many_threads_may_use_one_host(endpoint: Endpoint, replies: Replies) -> None:
    with open_mirror_sync(context=CONTEXT) as mirror, ThreadPoolExecutor(8) as workers:
        turns = list(
            workers.map(lambda number: mirror.conversation(f"t{number % 4}").say(f"say {number}").turn, range(16))
        )

    assert sorted(turns) == [turn for turn in (1, 2, 3, 4) for _ in range(4)]


def test_leaving_a_stream_ends_its_turn(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["talker"] = [Answer("one two three four five", pause=0.2), Answer("I hear you.")]
    with open_mirror_sync(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        for piece in conversation.stream("Hello"):
            assert piece
            break
        assert conversation.say("Hello").turn == 1


def test_an_error_comes_as_it_does_to_those_who_await(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["talker"] = Answer(status=401, error="no")
    with open_mirror_sync(context=CONTEXT) as mirror, pytest.raises(ReplyError):
        mirror.conversation("t").say("Hello")


def test_no_thread_is_left_behind(endpoint: Endpoint, replies: Replies) -> None:
    open_mirror_sync(context=CONTEXT).close()
    with pytest.raises(ValueError, match="both a database"):
        open_mirror_sync("x.db", store=InMemoryStore())

    shared = {shared_loop_thread()}
    assert shared
    assert len([thread for thread in threading.enumerate() if thread.name == "mirror-loop"]) == 1


def test_a_closed_host_says_that_it_is_closed(endpoint: Endpoint, replies: Replies) -> None:
    with open_mirror_sync(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")

    with pytest.raises(RuntimeError, match="used after it was closed: open it again"):
        conversation.say("Hello")


@pytest.mark.slow
def test_a_host_that_nothing_closed_lets_its_program_end_and_does_not_survive_a_fork(
    endpoint: Endpoint, replies: Replies, tmp_path: Path
) -> None:
    program = [sys.executable, "-W", "error", "-W", "ignore:.*multi-threaded.*fork", str(FORGETFUL)]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=200)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "I hear you.",
        "opened before this process was forked, so its event loop is not here: open it in each worker",
        "7",
        "2",
    ]


def test_a_loop_that_would_wait_for_itself_is_an_error() -> None:
    with open_loop_thread() as loop:

        async def inside() -> None:
            loop.run(asyncio.sleep(0))

        with pytest.raises(RuntimeError, match="await the async one"):
            loop.run(inside())


@pytest.mark.parametrize("saver", ["memory", "sqlite"])
def test_the_one_graph_form_is_invoked_streamed_and_batched(
    endpoint: Endpoint, replies: Replies, saver: str, tmp_path: Path
) -> None:
    with SqliteSaver.from_conn_string(str(tmp_path / "own.db")) as sqlite:
        graph = build_mirror(context=CONTEXT).compile(checkpointer=sqlite if saver == "sqlite" else InMemorySaver())
        config: Any = {"configurable": {"thread_id": "any name"}}
        said: Any = {"messages": [HumanMessage("I'm allergic to peanuts.")]}

        assert graph.invoke(said, config)["narrative"]["turn"] == 1
        pieces = [piece.text for piece, _ in graph.stream(said, config, stream_mode="messages")]  # type: ignore[union-attr, misc]
        assert "".join(pieces) == "I hear you."
        configs: Any = [{"configurable": {"thread_id": str(number)}} for number in range(3)]
        batch = graph.batch([said] * 3, configs)
        assert [values["narrative"]["turn"] for values in batch] == [1, 1, 1]


def test_tokens_come_as_the_model_writes_them_in_a_synchronous_stream(endpoint: Endpoint, replies: Replies) -> None:
    graph = build_mirror(context=CONTEXT).compile()
    released = threading.Event()

    def slow(call: Any) -> Answer:
        assert released.wait(30)
        return Answer("A dinner.")

    replies.by_component["goals"] = slow
    stream = graph.stream({"messages": [HumanMessage("Hello")]}, stream_mode="messages")
    text = ""
    while text != "I hear you.":
        piece: Any = next(stream)
        text += piece[0].text
    released.set()  # no thought could end before the whole reply was read

    assert [piece[0].text for piece in stream if piece[0].text] == []  # type: ignore[index, union-attr]


def test_the_talker_and_the_thinker_are_invoked(endpoint: Endpoint, replies: Replies) -> None:
    talker = build_talker(context=CONTEXT).compile(checkpointer=InMemorySaver(), store=InMemoryStore())
    config: Any = {"configurable": {"thread_id": "no uuid"}}

    def say(text: str) -> dict[str, Any]:
        reply = talker.invoke({"messages": [HumanMessage(text)]}, config)["messages"][-1]
        mirror: dict[str, Any] = reply.response_metadata["mirror"]
        return mirror

    say("I'm allergic to peanuts.")
    deadline = time.monotonic() + 30
    while say("Go on.")["narrative_turn"] == 0:
        assert time.monotonic() < deadline

    thought = (
        build_thinker(context=CONTEXT)
        .compile()
        .invoke(
            {  # type: ignore[arg-type]  # a caller gives what there is
                "messages": [HumanMessage("Hello"), AIMessage("I hear you.", id="r")],
                "branch": [{"turn": 1, "reply": "r"}],
                "turns": 1,
            }
        )
    )
    assert thought["narrative"]["turn"] == 1
