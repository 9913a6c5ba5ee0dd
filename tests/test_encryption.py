"""Encryption at rest: nothing in clear on any database, keys that change, and keys that are missing."""

import asyncio
import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.store.memory import InMemoryStore

from mirror_graph import ConfigurationError, Mirror, MirrorContext, MissingKeyError, StorageError, open_mirror
from mirror_graph.agents import MirrorMiddleware
from mirror_graph.encryption import VARIABLE, Keyring, new_key
from mirror_graph.errors import DamagedValueError
from mirror_graph.storage import open_storage
from mirror_graph.storage.serde import CompressedSerializer
from mirror_graph.testing.endpoint import Endpoint
from tests.agents import Stage, context, request, thread
from tests.raw_scan import files_under, words_found

CONTEXT = MirrorContext(talker_model="scripted:demo", think_after=0, user_id="ada")
ALLERGY = "I have a severe peanut allergy."

places = st.lists(st.text(max_size=10), min_size=1, max_size=4).map(tuple)


@given(st.binary(max_size=200), places, places)
def test_a_value_can_be_read_at_its_own_place_and_nowhere_else(
    plain: bytes, place: tuple[str, ...], other: tuple[str, ...]
) -> None:
    keyring = Keyring(new_key())
    sealed = keyring.seal(plain, place)
    assert keyring.open(sealed, place) == plain
    if other != place:
        with pytest.raises(DamagedValueError):
            keyring.open(sealed, other)


@given(st.binary(max_size=50), st.data())
def test_a_flipped_bit_is_an_error(plain: bytes, data: st.DataObject) -> None:
    keyring = Keyring(new_key())
    sealed = bytearray(keyring.seal(plain, ("here",)))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    # A bit of the mark is read as a value that is not encrypted, which `is_sealed` tells apart.
    if bit >= 8 * len(b"\xf5mirror1"):
        with pytest.raises(StorageError):
            keyring.open(bytes(sealed), ("here",))


def test_the_first_key_encrypts_and_each_decrypts() -> None:
    old, new = new_key(), new_key()
    sealed = Keyring(old).seal(b"word", ("here",))
    both = Keyring(f"{new}, {old}")
    assert both.open(sealed, ("here",)) == b"word"
    assert not both.is_current(sealed)
    assert both.is_current(both.seal(b"word", ("here",)))
    with pytest.raises(MissingKeyError, match=Keyring(old).ids[0]):
        Keyring(new).open(sealed, ("here",))


@pytest.mark.parametrize("text", ["short", "a" * 42, "z" * 64, "ä" * 44, f"{'a' * 40},{'b' * 44}"])
def test_a_key_of_the_wrong_size_is_an_error_that_does_not_show_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match="mirror key") as raised:
        Keyring(text)
    assert text not in str(raised.value)


def test_a_key_may_be_written_in_base64_of_both_alphabets_or_in_hexadecimal() -> None:
    key = bytes(range(220, 252))
    spellings = [key.hex(), key.hex().upper()]
    spellings += [base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode().rstrip("=")]
    assert len({tuple(Keyring(spelling).ids) for spelling in spellings}) == 1


async def _talk(database: Any, key: str | None, *messages: str, **options: Any) -> None:
    async with open_mirror(database, context=CONTEXT, key=key, **options) as mirror:
        conversation = mirror.conversation("t")
        for message in messages:
            await conversation.say(message)
            assert await conversation.settle()


async def _known(database: Any, key: str | None, **options: Any) -> tuple[int, set[str], int]:
    """Return the number of messages, the user's constraints, and the number of narratives."""
    async with open_mirror(database, context=CONTEXT, key=key, **options) as mirror:
        conversation = mirror.conversation("t")
        constraints = {entry["about"] for entry in await mirror.user("ada").constraints()}
        return len(await conversation.messages()), constraints, len(await conversation.history())


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_what_was_stored_in_clear_is_read_with_a_key(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue("postgres") if engine == "postgres" else tmp_path / "mirror.db"
    key = new_key()
    await _talk(database, "", ALLERGY)
    before = await _known(database, "")
    assert before[0] == 2
    assert before[1]
    assert await _known(database, key) == before
    await _talk(database, key, "What is a good snack?")
    messages, constraints, _ = await _known(database, key)
    assert messages == 4
    assert constraints == before[1]


@pytest.mark.parametrize("second", [new_key(), ""], ids=["wrong", "missing"])
async def test_with_a_wrong_or_missing_key_nothing_opens_and_nothing_is_overwritten(
    tmp_path: Path, second: str
) -> None:
    database, key = tmp_path / "mirror.db", new_key()
    await _talk(database, key, ALLERGY)
    before = await _known(database, key)
    rows = _rows(database)
    with pytest.raises(MissingKeyError, match="MIRROR_AES_KEY") as raised:
        await _talk(database, second, "Hello")
    assert raised.value.key_id == Keyring(key).ids[0]
    assert _rows(database) == rows
    assert await _known(database, key) == before


async def test_a_thread_of_another_key_is_neither_answered_nor_overwritten() -> None:
    """Even where the database cannot tell at the start: the caller's checkpointer, without the caller's store."""
    saver, key = InMemorySaver(), new_key()
    await _talk(None, key, ALLERGY, checkpointer=saver)
    with pytest.raises(MissingKeyError):
        await _talk(None, new_key(), "Hello", checkpointer=saver)
    assert (await _known(None, key, checkpointer=saver))[0] == 2


async def test_the_programs_own_objects_hold_nothing_in_clear() -> None:
    saver, store = InMemorySaver(), InMemoryStore()
    await _talk(None, new_key(), ALLERGY, checkpointer=saver, store=store)
    written = repr([saver.storage, saver.blobs, saver.writes, store._data]).lower()
    assert saver.blobs
    assert "peanut" not in written
    plain_saver, plain_store = InMemorySaver(), InMemoryStore()
    await _talk(None, "", ALLERGY, checkpointer=plain_saver, store=plain_store)
    assert "peanut" in repr([plain_saver.blobs, plain_store._data]).lower()


async def test_the_environment_names_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, new_key())
    await _talk(tmp_path / "mirror.db", None, ALLERGY)
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(MissingKeyError):
        await _known(tmp_path / "mirror.db", None)


async def test_a_value_moved_to_another_place_is_not_read(tmp_path: Path) -> None:
    """Whoever can write to the database cannot give one person's mind to another."""
    database, key = tmp_path / "mirror.db", new_key()
    async with open_mirror(database, context=CONTEXT, key=key) as mirror:
        mine, theirs = mirror.conversation("mine", user_id="ada"), mirror.conversation("theirs", user_id="bob")
        await mine.say(ALLERGY)
        await theirs.say("Hello")
        for each in (mine, theirs):
            await each.settle()
    with closing(sqlite3.connect(database, isolation_level=None)) as file:
        (stored,) = file.execute("SELECT checkpoint FROM checkpoints WHERE thread_id = ?", [mine.thread_id]).fetchone()
        file.execute("UPDATE checkpoints SET checkpoint = ? WHERE thread_id = ?", [stored, theirs.thread_id])
        (item,) = file.execute("SELECT value FROM store WHERE prefix LIKE '%.told'").fetchone()
        (prefix, item_key) = file.execute("SELECT prefix, key FROM store WHERE prefix LIKE '%.told'").fetchone()
        file.execute(
            "INSERT INTO store (prefix, key, value) VALUES (?, ?, ?)",
            [prefix.replace(".told", ".edited"), item_key, item],
        )
    async with open_mirror(database, context=CONTEXT, key=key) as mirror:
        with pytest.raises(StorageError, match="moved here"):
            await mirror.conversation("theirs", user_id="bob").messages()
        # One that was moved is left out, and the others are read.
        [constraint] = await mirror.user("ada").constraints()
        assert constraint["source"]["turn"] == 1


async def test_a_damaged_entry_of_a_users_conversations_costs_none_of_the_others(tmp_path: Path) -> None:
    database, key = tmp_path / "mirror.db", new_key()
    async with open_mirror(database, context=CONTEXT, key=key, transcripts=True) as mirror:
        for name in ("dinner", "lunch"):
            await mirror.conversation(name).say("Hello")
        damaged = mirror.conversation("lunch").thread_id
        with closing(sqlite3.connect(database, isolation_level=None)) as file:
            place = ["mirror.conversations.%", damaged]
            file.execute(
                "UPDATE store SET value = (SELECT value FROM store WHERE key = 'key') WHERE prefix LIKE ? AND key = ?",
                place,
            )
        assert [known.name for known in await mirror.conversations("ada")] == ["dinner"]
        await mirror.conversation("lunch").say("Hello again")
        assert [known.name for known in await mirror.conversations("ada")] == ["lunch", "dinner"]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", new_key()], ids=["in clear", "with an earlier key"])
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_keys_change_under_load_and_everything_is_read_with_the_new_one(
    engine: str, first: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue("postgres") if engine == "postgres" else str(tmp_path / "mirror.db")
    new = new_key()
    both = ",".join(filter(None, (new, first)))
    names, turns = [f"thread {number}" for number in range(4)], 4

    async def talk(mirror: Mirror, name: str) -> None:
        conversation = mirror.conversation(name, user_id=f"user of {name}")
        for turn in range(turns):
            await conversation.say(ALLERGY if turn == 0 else f"Question {turn}?")
            await conversation.settle()

    async with open_mirror(database, context=CONTEXT, key=first) as earlier:
        await asyncio.gather(*(talk(earlier, name) for name in names))
        # Two hosts go on: one writes with the key of before, the other with the new one.
    async with (
        open_mirror(database, context=CONTEXT, key=f"{first},{new}" if first else both) as old_host,
        open_mirror(database, context=CONTEXT, key=both) as new_host,
    ):
        load = [talk(old_host, name) for name in names[:2]] + [talk(new_host, name) for name in names[2:]]
        talking = asyncio.gather(*load)
        rounds = 0
        while not talking.done() or rounds == 0:
            await new_host.encrypt()
            rounds += 1
        await talking
    async with open_mirror(database, context=CONTEXT, key=both) as mirror:
        await mirror.encrypt()
        assert await mirror.encrypt() == 0
    async with open_mirror(database, context=CONTEXT, key=new) as mirror:
        for name in names:
            conversation = mirror.conversation(name, user_id=f"user of {name}")
            assert len(await conversation.messages()) == 2 * 2 * turns
            assert (await conversation.mind()).turn == 2 * turns
            assert len(await conversation.history()) == 2 * turns
            assert await mirror.user(f"user of {name}").constraints()
            assert (await conversation.say("And now?")).turn == 2 * turns + 1


async def test_encrypting_needs_a_key(tmp_path: Path) -> None:
    async with open_mirror(tmp_path / "mirror.db", key="") as mirror:
        with pytest.raises(ConfigurationError, match="MIRROR_AES_KEY"):
            await mirror.encrypt()


async def test_encrypting_in_place_leaves_no_word_in_sqlites_files(tmp_path: Path) -> None:
    await _talk(tmp_path / "mirror.db", "", ALLERGY)
    assert words_found(["peanut"], files_under(tmp_path)) == {"peanut"}
    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT, key=new_key()) as mirror:
        assert await mirror.encrypt() == 2
        assert words_found(["peanut"], files_under(tmp_path)) == set()


async def test_an_item_that_was_changed_meanwhile_is_not_replaced(database: str | None) -> None:
    async with open_storage(database) as storage:
        place = ("mirror", "somebody", "told"), "peanuts"
        await storage.items.aput(*place, {"about": "newer"}, index=False)
        assert not await storage.tables.replace_item(*place, {"about": "older"}, {"about": "encrypted"})
        assert await storage.tables.replace_item(*place, {"about": "newer"}, {"about": "encrypted"})
        found = await storage.items.aget(*place)
        assert found is not None
        assert found.value == {"about": "encrypted"}


class _Cipher(CipherProtocol):
    """A cipher such as a program may use already."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "flip", bytes(byte ^ 255 for byte in plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "flip"
        return bytes(byte ^ 255 for byte in ciphertext)


@pytest.mark.parametrize("value", [{"a": [1, "word"]}, b"bytes", "word", None])
def test_langgraphs_encrypting_serializer_reads_what_it_wrote_around_ours(value: Any) -> None:
    serde = EncryptedSerializer(_Cipher(), CompressedSerializer())
    assert serde.loads_typed(serde.dumps_typed(value)) == value


def _rows(database: Path) -> str:
    with closing(sqlite3.connect(database)) as file:
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        contents = {name: file.execute(f"SELECT * FROM {name}").fetchall() for name in tables if "lease" not in name}
    return json.dumps(contents, default=repr, sort_keys=True)


@pytest.mark.parametrize("with_store", [False, True], ids=["checkpointer", "store"])
async def test_an_agents_mind_is_encrypted_and_found_by_its_next_process(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, with_store: bool
) -> None:
    stage, saver, store = Stage(endpoint), InMemorySaver(), InMemoryStore()
    monkeypatch.setenv(VARIABLE, new_key())
    for turn in (1, 2):
        mirror = MirrorMiddleware(context=context())
        agent = create_agent(stage.model, middleware=[mirror], checkpointer=saver, store=store if with_store else None)
        await agent.ainvoke(request(f"Hello {turn}"), thread())
        assert await mirror.settle("thread-1")
        assert (await mirror.mind("thread-1")).turn == turn
        await mirror.aclose()
    minds = [blob for (_, namespace, *_), blob in saver.blobs.items() if namespace == "mirror"]
    stored = repr([minds, store._data])
    assert ("sealed" if with_store else "mirror1") in stored
    assert "They have told me" not in stored
