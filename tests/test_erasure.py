"""What was forgotten is gone from the files, too; and nothing stands there in clear while there is a key."""

import logging
import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from mirror_graph import ConfigurationError, Conversation, Mirror, MirrorContext, open_mirror
from mirror_graph.encryption import new_key
from mirror_graph.testing.endpoint import Endpoint
from tests.raw_scan import files_under, words_found
from tests.replies import Replies

SIMPLE = MirrorContext(talker_model="scripted:echo", think_after=0)
TURNS = 8


class Words:
    """Twelve words that occur nowhere else, each in one of the places where words come from."""

    def __init__(self) -> None:
        letters = random.Random().sample
        made = ["".join(letters("bcdfghjklmnprstvwz", 12)) for _ in range(12)]
        self.thread, self.user, self.fact, self.message, self.reply, self.goals = made[:6]
        self.reasoning, self.memory, self.narrative, self.trigger, self.context, self.metadata = made[6:]
        self.all = made

    @property
    def choices(self) -> MirrorContext:
        """The context that holds its word."""
        thinkers = ("goals", "reasoning", "memory", f"sleep: how {self.context} they are")
        return MirrorContext(talker_model="openai:test", think_after=0, thinkers=thinkers)

    def plant(self, replies: Replies) -> None:
        """Let the models use the words."""
        replies.by_component |= {
            "talker": f"I hear you: {self.reply}.",
            "goals": f"They want a dinner, {self.goals}.",
            "reasoning": f"Food may be a risk, {self.reasoning}.",
            "memory": f"They said {self.memory}.",
            "anticipation": f'{{"things": ["{self.trigger} pie"], "places": [], "activities": [], "words": []}}',
            "synthesis": f"I know of {self.narrative}.",
        }


async def _talk(mirror: Mirror, words: Words) -> Conversation:
    conversation = mirror.conversation(words.thread, user_id=words.user)
    for turn in range(TURNS):
        text = f"I'm severely allergic to {words.fact}." if turn == 0 else f"Now {words.message} {'again ' * 40 * turn}"
        await conversation.say(text, config={"metadata": {"ward": words.metadata}})
        assert await conversation.settle()
    assert (await conversation.mind()).constraints
    return conversation


async def _forget_all(mirror: Mirror, words: Words, conversation: Conversation) -> None:
    await conversation.forget()
    await mirror.user(words.user).forget()


@pytest.mark.parametrize("key", ["", new_key()], ids=["in clear", "with a key"])
async def test_no_planted_word_is_in_sqlites_files_after_forgetting_nor_ever_with_a_key(
    endpoint: Endpoint, replies: Replies, tmp_path: Path, key: str
) -> None:
    words = Words()
    replies.by_component["sleep"] = "They are rested."
    async with open_mirror(tmp_path / "mirror.db", context=words.choices, key=key, transcripts=True) as mirror:
        other = mirror.conversation("other", user_id="somebody else")
        await other.say("Hello")
        assert await other.settle()
        words.plant(replies)
        conversation = await _talk(mirror, words)
        found = words_found(words.all, files_under(tmp_path))
        if key:
            assert found == set()
        else:
            # The control: the scan sees what is stored. The user is stored as a hash only.
            assert {words.fact, words.message, words.reply, words.narrative, words.goals, words.metadata} <= found
            assert words.thread in found  # transcripts name it
            assert words.user not in found
        await _forget_all(mirror, words, conversation)
        assert words_found(words.all, files_under(tmp_path)) == set()
        assert len(await other.messages()) == 2
    assert words_found(words.all, files_under(tmp_path)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("key", ["", new_key()], ids=["in clear", "with a key"])
async def test_no_planted_word_is_in_postgresqls_tables_after_vacuum_full_nor_anywhere_with_a_key(
    endpoint: Endpoint, replies: Replies, postgres: str, key: str
) -> None:
    words = Words()
    words.plant(replies)
    replies.by_component["sleep"] = "They are rested."
    async with open_mirror(postgres, context=words.choices, key=key, transcripts=True) as mirror:
        conversation = await _talk(mirror, words)
        tables, everything = postgres_files(postgres)
        found = words_found(words.all, everything)
        if key:
            assert found == set()
        else:
            assert {words.fact, words.message, words.reply, words.narrative, words.goals, words.metadata} <= found
            assert words.user not in found
        await _forget_all(mirror, words, conversation)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("VACUUM (FULL)")
    tables, everything = postgres_files(postgres)
    assert words_found(words.all, everything if key else tables) == set()


def postgres_files(url: str) -> tuple[list[Path], list[Path]]:
    """Return the files of the database itself, and all files of its server, as they are after a checkpoint."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute(
            "SELECT current_setting('data_directory'), oid FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    folder = Path(row[0])
    return files_under(folder / "base" / str(row[1])), files_under(folder)


async def test_pruning_removes_what_an_earlier_release_left_in_free_pages(tmp_path: Path) -> None:
    database, word = tmp_path / "mirror.db", "quixotry"
    async with open_mirror(database, context=SIMPLE, key="") as mirror:
        await mirror.conversation("t").say("Hello")
    with closing(sqlite3.connect(database, isolation_level=None)) as file:
        file.execute("PRAGMA secure_delete = OFF")
        rows = [(str(row), f"{word} " * 400) for row in range(20)]
        file.executemany("INSERT INTO mirror_versions VALUES (?, 'null', ?)", rows)
        file.execute("DELETE FROM mirror_versions")
    assert words_found([word], files_under(tmp_path)) == {word}
    async with open_mirror(database, context=SIMPLE, key="") as mirror:
        await mirror.prune()
        assert words_found([word], files_under(tmp_path)) == set()


async def test_a_reader_that_holds_the_log_makes_forgetting_warn_and_not_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirror_graph.storage.sqlite.SCRUB_SECONDS", 0.1)
    database = tmp_path / "mirror.db"
    async with open_mirror(database, context=SIMPLE, key="") as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("Hello")
        with closing(sqlite3.connect(database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM checkpoints").fetchall()
            await conversation.forget()
        assert "its log may hold what was erased" in caplog.text
        assert await conversation.messages() == []


async def test_each_erasure_is_one_line_of_the_audit_log_without_content(
    database: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mirror_graph.audit")
    async with open_mirror(database, context=SIMPLE) as mirror:
        conversation = mirror.conversation("secretname", user_id="ada")
        await conversation.say("I'm allergic to peanuts.")
        added = await mirror.user("ada").add("wasps", kind="allergy")
        await mirror.user("ada").forget(added["id"])
        await mirror.user("ada").forget()
        await conversation.forget()
    lines = [record.getMessage() for record in caplog.records if record.name == "mirror_graph.audit"]
    assert len(lines) == 3
    assert added["id"] in lines[0]
    assert "id=all" in lines[1]
    assert f"id={conversation.thread_id}" in lines[2]
    for word in ("secretname", "ada ", "peanuts", "wasps"):
        assert word not in " ".join(lines)


async def test_threads_unused_for_a_day_are_erased_and_no_others(database: str | None) -> None:
    async with open_mirror(database, context=SIMPLE) as mirror:
        old, used = mirror.conversation("old", user_id="ada"), mirror.conversation("used", user_id="ada")
        for each in (old, used):
            await each.say("I'm allergic to peanuts.")
            assert await each.settle()
        middle = datetime.now(UTC)
        assert await mirror.forget_unused(middle - timedelta(days=1)) == 0
        await used.say("Hello again")
        assert await used.settle()
        assert await mirror.forget_unused(middle) == 1
        assert (await old.messages(), await old.history()) == ([], [])
        assert (await old.mind()).turn == 0
        assert len(await used.messages()) == 4
        assert (await used.mind()).turn == 2
        # The user's constraints follow the user, not the thread.
        assert [entry["about"] for entry in await mirror.user("ada").constraints()] == ["peanuts"]
        with pytest.raises(ConfigurationError, match="time zone"):
            await mirror.forget_unused(datetime(2026, 1, 1))  # what is tested


async def test_retention_leaves_the_programs_other_threads_alone() -> None:
    saver = InMemorySaver()
    graph = StateGraph(MessagesState).add_node("chat", lambda state: {"messages": [AIMessage("Hi")]})
    program: Any = graph.add_edge(START, "chat").compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "theirs"}}
    program.invoke({"messages": [("user", "Hello")]}, config)
    async with open_mirror(checkpointer=saver, context=SIMPLE) as mirror:
        await mirror.conversation("ours").say("Hello")
        assert await mirror.forget_unused(datetime.now(UTC) + timedelta(days=1)) == 1
        assert await mirror.conversation("ours").messages() == []
    assert len(program.get_state(config).values["messages"]) == 2
