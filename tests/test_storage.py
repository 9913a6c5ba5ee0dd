"""What is stored: every message as it was, in few bytes and few steps; of a call, what is read again."""

import asyncio
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.host.runtime import HostRuntime
from mirror_graph.storage import open_storage
from mirror_graph.storage.packing import pack
from mirror_graph.storage.serde import CompressedSerializer, DamagedValueError
from mirror_graph.testing.endpoint import Endpoint

CONTEXT = MirrorContext(talker_model="scripted:echo", think_after=0)

ids = st.none() | st.text(max_size=40) | st.uuids().map(str) | st.uuids().map(lambda run_id: f"lc_run--{run_id}")
words = st.text(max_size=30)
plain = st.dictionaries(st.text(max_size=8), st.integers(0, 9) | words, max_size=3)
calls = st.just([{"name": "look", "args": {}, "id": "1", "type": "tool_call"}]) | st.just([])
usages = st.none() | st.just({"input_tokens": 1, "output_tokens": 2, "total_tokens": 3})
notes = st.just({"mirror": {"turn": 3, "narrative_turn": 2, "lag": 0}}) | plain
messages = st.one_of(
    st.builds(HumanMessage, words, id=ids),
    st.builds(HumanMessage, words, id=ids, name=st.none() | words, response_metadata=plain, additional_kwargs=plain),
    st.builds(AIMessage, words, id=ids, response_metadata=notes),
    st.builds(AIMessage, words, id=ids, response_metadata=notes, tool_calls=calls, usage_metadata=usages),
    st.builds(AIMessage, st.just([{"type": "text", "text": "a block"}]), id=ids),
    st.builds(SystemMessage, words, id=ids),
    st.builds(ToolMessage, words, id=ids, tool_call_id=words),
)


@given(st.lists(messages, max_size=5))
def test_messages_come_back_as_they_were(written: list[AnyMessage]) -> None:
    serde = CompressedSerializer()
    for value in (written, {"channel_values": {"messages": written, "turn": 3}, "id": "1"}):
        assert serde.loads_typed(serde.dumps_typed(value)) == value


@given(st.lists(messages, max_size=5), st.data())
def test_no_flipped_bit_is_read_as_other_words(written: list[AnyMessage], data: st.DataObject) -> None:
    serde = CompressedSerializer()
    for value in (written, {"channel_values": {"messages": written, "turn": 3}, "id": "1"}, 3, "word"):
        kind, stored = serde.dumps_typed(value)
        damaged = bytearray(stored)
        bit = data.draw(st.integers(0, 8 * len(stored) - 1))
        damaged[bit // 8] ^= 1 << bit % 8
        with suppress(DamagedValueError):  # or the bit meant nothing
            assert serde.loads_typed((kind, bytes(damaged))) == value


def test_what_an_earlier_release_wrote_without_a_checksum_is_read() -> None:
    serde = CompressedSerializer()
    written = [HumanMessage("hello " * 200, id="1")]
    kind, packed = JsonPlusSerializer().dumps_typed(pack(written))
    assert serde.loads_typed((kind, packed)) == written
    assert serde.loads_typed((kind + "+zstd", zstandard.compress(packed))) == written


@pytest.mark.parametrize(
    "identity",
    [
        "AAAAAAAA-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
        "a" * 32,
        "lc_run--",
        "lc_run--x",
        "{5b5f4a51-3c0a-5d33-9d8f-6f1b1f0c2e77}",
        "",
    ],
)
def test_an_id_that_is_almost_one_of_ours_is_stored_unchanged(identity: str) -> None:
    serde = CompressedSerializer()
    written = [HumanMessage("hi", id=identity), AIMessage("hello", id=identity)]
    assert serde.loads_typed(serde.dumps_typed(written)) == written


async def test_a_turn_stores_its_words_its_reply_and_nothing_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostRuntime, "tidy", lambda engine, thread_id: None)
    async with open_mirror(context=CONTEXT) as mirror:
        saver: Any = mirror._engine.storage.saver
        assert isinstance(saver, InMemorySaver)
        conversation = mirror.conversation("t")
        for turn in (1, 2):
            await conversation.say("hello")
            assert len(saver.storage[conversation.thread_id][""]) == 2 * turn
        assert not [key for key in saver.writes if key[0] == conversation.thread_id]
        assert [message.type for message in await conversation.messages()] == ["human", "ai"] * 2


async def test_a_providers_notes_on_a_call_are_returned_at_once_and_stored_for_the_last_reply_alone(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    context = MirrorContext(talker_model="openai:talker", thinking="off")
    async with open_mirror(tmp_path / "mirror.db", context=context) as mirror:
        conversation = mirror.conversation("t")
        for _ in range(2):
            assert (await conversation.say("hello")).usage["output"] > 0
        first, last = (message for message in await conversation.messages() if isinstance(message, AIMessage))
    mirror_notes = {"turn": 1, "narrative_turn": 0, "lag": 0, "finish_reason": "stop"}
    assert first.response_metadata == {"mirror": mirror_notes}
    assert first.usage_metadata is None
    assert last.usage_metadata is not None
    assert last.response_metadata["finish_reason"] == "stop"


async def test_a_window_is_stored_once(tmp_path: Path) -> None:
    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        for _ in range(3):
            await conversation.say("hello")
            await conversation.settle()
    with closing(sqlite3.connect(tmp_path / "mirror.db")) as database:
        assert database.execute("SELECT count(*) FROM checkpoints").fetchone() == (2,)
        assert database.execute("SELECT count(*) FROM writes").fetchone() == (0,)


async def test_what_a_cancelled_task_was_writing_is_stored_although_the_host_closes(database: str | None) -> None:
    async with open_storage(database) as storage:
        writing = [asyncio.create_task(storage.store.aput(("facts",), f"item {n}", {"n": n})) for n in range(20)]
        # The operations begin; then their tasks are cancelled and the database is closed.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in writing:
            task.cancel()
        await asyncio.wait(writing)

    if database is None:
        return
    async with open_storage(database) as storage:
        assert len(await storage.store.asearch(("facts",), limit=100)) == 20
