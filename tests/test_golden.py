"""A checkpoint written by one release is read, and gone on from, by every later one."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.errors import StorageError
from mirror_graph.scheduling import mind_thread
from mirror_graph.state import SCHEMA_VERSION
from mirror_graph.state.migration import migrate_mind
from mirror_graph.storage import open_storage
from tests.golden.reading import FOLDER, as_json

RELEASES = sorted(FOLDER.glob("*.db"))
each_release = pytest.mark.parametrize("file", RELEASES, ids=lambda file: file.stem)


def test_there_is_a_golden_database() -> None:
    assert RELEASES


@each_release
async def test_an_old_database_is_read(file: Path) -> None:
    read = json.loads(json.dumps(await as_json(file)))
    expected = json.loads(file.with_suffix(".json").read_text())
    assert read["messages"] == expected["messages"]
    mind = migrate_mind(expected["mind"])
    for key in expected["mind"]:
        assert read["mind"][key] == mind[key], key


@each_release
async def test_an_old_conversation_goes_on(file: Path, tmp_path: Path) -> None:
    copy = shutil.copy(file, tmp_path)
    async with open_mirror(copy, context=MirrorContext(talker_model="scripted:echo", think_after=0)) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        reply = await conversation.say("hello again")
        assert (reply.turn, reply.narrative_turn) == (4, 2)
        assert await conversation.settle(timeout=100)
        assert (await conversation.mind()).turn == 4


async def test_a_mind_of_a_later_release_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with open_storage(tmp_path / "mirror.db") as storage:
        thread_id = str(uuid4())
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"schema_version": SCHEMA_VERSION + 1, "turn": 3}
        config = {"configurable": {"thread_id": mind_thread(thread_id), "checkpoint_ns": ""}}
        await storage.saver.aput(config, checkpoint, {}, {})  # type: ignore[arg-type]  # a plain config
        from mirror_graph.host.mind_store import CheckpointMindStore

        with pytest.raises(StorageError, match="upgrade mirror-graph"):
            await CheckpointMindStore(storage).load(thread_id)


@each_release
def test_a_golden_database_holds_no_personal_words_in_clear_columns(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        for (metadata,) in database.execute("SELECT metadata FROM checkpoints"):
            assert b"peanut" not in metadata
            assert b"ana" not in metadata
