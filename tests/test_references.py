"""What the window holds word for word, the stored monologue names by its ids; thinkers read the words all the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.host.conversation import Conversation
from mirror_graph.state.references import is_named, named_messages, with_references, with_words
from mirror_graph.state.values import AnsweredTurn, Exchange, MonologueEntry
from mirror_graph.state.window import exchanges_of
from mirror_graph.storage.packing import pack, unpack
from mirror_graph.testing.endpoint import Endpoint
from tests.replies import Replies, prompts_of

CONTEXT = MirrorContext(talker_model="openai:test", think_after=3_600, window_tokens=500, monologue_tokens=10_000)

texts = st.sampled_from(["yes", "no", "Which cake?", "Plum cake.", ""])
turns = st.lists(st.tuples(st.lists(texts, min_size=1, max_size=3), texts), min_size=1, max_size=8)


def conversation_of(said: list[tuple[list[str], str]]) -> tuple[list[AnyMessage], list[AnsweredTurn]]:
    messages: list[AnyMessage] = []
    branch: list[AnsweredTurn] = []
    for turn, (asked, reply) in enumerate(said, 1):
        messages += [HumanMessage(words, id=f"asked {turn} {place}") for place, words in enumerate(asked)]
        messages.append(AIMessage(reply, id=f"reply {turn}"))
        branch.append({"turn": turn, "reply": f"reply {turn}"})
    return messages, branch


def entries_of(exchanges: list[Exchange]) -> list[MonologueEntry]:
    return [{"turn": exchange["turn"], "exchanges": [exchange], "thoughts": []} for exchange in exchanges]


@given(turns, st.integers(0, 30))
def test_whatever_has_left_the_window_the_words_come_back_as_they_were(
    said: list[tuple[list[str], str]], left: int
) -> None:
    messages, branch = conversation_of(said)
    monologue = entries_of(exchanges_of(messages, branch))
    window, departed = messages[left:], messages[:left]
    stored = with_references(monologue, window)
    assert with_words(stored, window) == monologue
    # What leaves the window later stays on the thread for as long as it is named.
    named = [message for message in messages if message.id in named_messages(stored)]
    assert with_words(stored, named) == monologue
    assert with_references(with_words(stored, [*departed, *window]), window) == stored


@given(turns)
def test_words_that_were_shortened_stay_words(said: list[tuple[list[str], str]]) -> None:
    messages, branch = conversation_of(said)
    shortened = entries_of([{**exchange, "user": "Which […]"} for exchange in exchanges_of(messages, branch)])
    assert with_references(shortened, messages) == shortened


@given(st.lists(st.tuples(st.integers(1, 99), st.uuids(), st.lists(st.uuids() | texts, min_size=1)), max_size=5))
def test_a_branch_comes_back_as_it_was(turns: list[tuple[int, Any, list[Any]]]) -> None:
    branch = [
        {"turn": turn, "reply": f"lc_run--{reply}", "asked": list(map(str, asked))} for turn, reply, asked in turns
    ]
    assert unpack(pack({"channel_values": {"branch": branch}})) == {"channel_values": {"branch": branch}}


def last_memory_prompt(endpoint: Endpoint) -> str:
    return prompts_of(endpoint.calls, "memory")[-1]


async def stored_exchanges(conversation: Conversation) -> list[Exchange]:
    mind = await conversation._engine.minds.load(conversation.thread_id)
    return [exchange for entry in mind["monologue"] for exchange in entry["exchanges"]]


async def talk(conversation: Conversation, first: int, last: int) -> None:
    for turn in range(first, last):
        await conversation.say(f"Story number {turn}. " + "word " * 60)


async def test_a_thinker_reads_what_has_left_the_window_since_the_last_pass(
    endpoint: Endpoint, replies: Replies, tmp_path: Path
) -> None:
    replies.by_component["talker"] = lambda call: f"Reply after {len(call.messages)} messages."
    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
        conversation = mirror.conversation("stories")
        await talk(conversation, 0, 3)
        assert await conversation.settle(timeout=100)
        assert all(map(is_named, await stored_exchanges(conversation)))
        quiet = replace(CONTEXT, thinking="off")
    async with open_mirror(tmp_path / "mirror.db", context=quiet) as mirror:  # so that the window does not wait
        await talk(mirror.conversation("stories"), 3, 9)
    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
        conversation = mirror.conversation("stories")
        window = "".join(message.text for message in await conversation.messages())
        assert "Story number 2." not in window
        assert await conversation.settle(timeout=100)
        for turn in range(3):
            assert f"Story number {turn}. word word" in last_memory_prompt(endpoint)
        await talk(conversation, 9, 14)
        assert await conversation.settle(timeout=100)
        for turn in range(3):
            assert f"Story number {turn}. word word" in last_memory_prompt(endpoint)


async def test_an_edited_message_leaves_no_old_words_to_be_read(endpoint: Endpoint, tmp_path: Path) -> None:
    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
        conversation = mirror.conversation("stories")
        await conversation.say("My first story.")
        await conversation.settle(timeout=100)
        await conversation.say("My aardvark story.")
        await conversation.settle(timeout=100)
        await conversation.edit("My other story.")
        await conversation.settle(timeout=100)
        await conversation.say("Go on.")
        await conversation.settle(timeout=100)
        prompt = last_memory_prompt(endpoint)
        assert "My first story." in prompt
        assert "My other story." in prompt
        assert "aardvark" not in prompt
