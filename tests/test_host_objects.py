"""A host on a checkpointer and a store that the program has opened itself."""

import logging
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.store.postgres.aio import AsyncPostgresStore
from langgraph.store.sqlite.aio import AsyncSqliteStore

from mirror_graph import ConfigurationError, MirrorContext, open_mirror, open_mirror_sync
from mirror_graph.errors import StorageError
from mirror_graph.testing.endpoint import Endpoint
from tests.replies import Replies

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0)


async def two_turns(checkpointer: BaseCheckpointSaver[Any] | None, store: BaseStore | None) -> None:
    """Talk on one host and go on with another over the same objects."""
    async with open_mirror(checkpointer=checkpointer, store=store, context=CONTEXT) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        await conversation.say("I'm allergic to peanuts.")
        assert await conversation.settle(20)
    async with open_mirror(checkpointer=checkpointer, store=store, context=CONTEXT) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        reply = await conversation.say("Shall I order the satay?")
        assert (reply.turn, reply.narrative_turn) == (2, 1)
        assert await conversation.settle(20)
        if store is not None:
            assert [narrative["turn"] for narrative in await conversation.history()] == [1, 2]
            assert [entry["about"] for entry in await mirror.user("ana").constraints()] == ["peanuts"]
        assert await mirror.prune() >= 2
        await conversation.forget()
        assert await conversation.messages() == []


async def test_memory(endpoint: Endpoint, replies: Replies) -> None:
    await two_turns(InMemorySaver(), InMemoryStore())


async def test_an_asynchronous_sqlite(endpoint: Endpoint, replies: Replies, tmp_path: Path) -> None:
    path = str(tmp_path / "own.db")
    async with AsyncSqliteSaver.from_conn_string(path) as saver, AsyncSqliteStore.from_conn_string(path) as store:
        await store.setup()
        await two_turns(saver, store)


async def test_a_synchronous_saver_runs_in_threads(endpoint: Endpoint, replies: Replies, tmp_path: Path) -> None:
    with SqliteSaver.from_conn_string(str(tmp_path / "own.db")) as saver:
        await two_turns(saver, None)


def test_a_synchronous_host_on_a_synchronous_saver(endpoint: Endpoint, replies: Replies, tmp_path: Path) -> None:
    with SqliteSaver.from_conn_string(str(tmp_path / "own.db")) as saver:
        for turn in (1, 2):
            with open_mirror_sync(checkpointer=saver, context=CONTEXT) as mirror:
                assert mirror.conversation("t").say(f"Message {turn}").turn == turn


async def test_postgres_is_pruned(endpoint: Endpoint, replies: Replies, postgres: str) -> None:
    async with (
        AsyncPostgresSaver.from_conn_string(postgres) as saver,
        AsyncPostgresStore.from_conn_string(postgres) as store,
    ):
        await saver.setup()
        await store.setup()
        async with open_mirror(checkpointer=saver, store=store, context=CONTEXT) as mirror:
            conversation = mirror.conversation("t")
            for turn in range(3):
                await conversation.say(f"Message {turn}")
                await conversation.settle(20)
        assert len([found async for found in saver.alist(None)]) == 2  # the conversation and its mind
        await two_turns(saver, store)


async def test_an_error_says_in_one_line_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with open_mirror(checkpointer=InMemorySaver()):
            pass

    [record] = caplog.records
    assert "no store: a user's constraints" in record.message
    assert "InMemorySaver cannot prune" in record.message
    assert "other hosts" in record.message
    assert "no checkpointer" not in record.message


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"checkpointer": "sqlite"}, "checkpointer is a str"),
        ({"store": {}}, "store is a dict"),
        ({"database": "x.db", "checkpointer": InMemorySaver()}, "both a database"),
    ],
)
async def test_what_is_no_saver_is_refused(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        async with open_mirror(**settings):
            pass


async def test_a_database_without_tables_is_refused_at_once(postgres: str) -> None:
    with (
        PostgresSaver.from_conn_string(postgres) as saver,
        pytest.raises(ConfigurationError, match=r"(?s)cannot be read.*setup\(\)"),
    ):
        async with open_mirror(checkpointer=saver):
            pass


async def test_a_database_that_goes_away_is_a_storage_error(
    endpoint: Endpoint, replies: Replies, tmp_path: Path
) -> None:
    with SqliteSaver.from_conn_string(str(tmp_path / "own.db")) as saver:
        async with open_mirror(checkpointer=saver, context=CONTEXT) as mirror:
            saver.conn.close()
            with pytest.raises(StorageError):
                await mirror.conversation("t").say("Hello")
