"""What a thread holds, after a client has sent what it shows."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, SystemMessage
from langgraph.errors import InvalidUpdateError
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from mirror_graph.scheduling import mind_thread
from mirror_graph.state.alignment import align_messages, is_outside_conversation
from mirror_graph.state.branch import current_branch
from mirror_graph.state.reducers import merge_messages
from mirror_graph.state.validation import TURN_LIMIT, check_value
from mirror_graph.state.values import AnsweredTurn


def user(words: str, name: str | None = None) -> HumanMessage:
    return HumanMessage(words, id=name or f"id of {words}")


def ours(words: str) -> AIMessage:
    return AIMessage(words, id=f"id of {words}")


HELD: list[AnyMessage] = [user("H1"), ours("A1"), user("H2"), ours("A2")]


def bare(*words: str) -> list[AnyMessage]:
    """Return messages without ids, as an OpenAI-style front end sends them."""
    return [HumanMessage(text) if text.startswith("H") else AIMessage(text) for text in words]


@pytest.mark.parametrize(
    ("incoming", "expected"),
    [
        pytest.param([user("H3")], "H1 A1 H2 A2 H3", id="one new message"),
        pytest.param(bare("H2"), "H1 A1 H2 A2 H2", id="the same words again, without an id"),
        pytest.param([*HELD, user("H3")], "H1 A1 H2 A2 H3", id="the whole transcript"),
        pytest.param(bare("H1", "A1", "H2", "A2", "H3"), "H1 A1 H2 A2 H3", id="the whole transcript without ids"),
        pytest.param(bare("H0", "A0", "H1", "A1", "H2", "A2", "H3"), "H1 A1 H2 A2 H3", id="with what has left"),
        pytest.param(bare("A2", "H3"), "H1 A1 H2 A2 H3", id="the end of the transcript"),
        pytest.param(bare("H1", "A1", "H2*"), "H1 A1 H2*", id="an edited last message"),
        pytest.param(bare("H1*", "A1", "H2", "A2", "H3"), "H1* A1 H2 A2 H3", id="an edited first message"),
        pytest.param([user("H1*", "id of H1")], "H1*", id="an edited message by its id"),
        pytest.param([user("H1"), ours("A1"), user("H2")], "H1 A1 H2", id="another answer is asked for"),
        pytest.param(bare("H1", "A1", "H2", "A2*", "H3"), "H1 A1 H2 A2* H3", id="a reply is shown in other words"),
        pytest.param(bare("H1", "H2", "H3"), "H1 A1 H2 A2 H3", id="a transcript of the user's messages alone"),
        pytest.param(bare("H1", "A1", "H2", "H3"), "H1 A1 H2 H3", id="a transcript whose last reply never arrived"),
        pytest.param([RemoveMessage(id=REMOVE_ALL_MESSAGES), user("H9")], "H9", id="a cleared chat"),
        pytest.param([RemoveMessage(id="id of A2")], "H1 A1 H2", id="a removed reply"),
        pytest.param([RemoveMessage(id="id of A1"), user("H1*", "id of H1")], "H1*", id="edited, its reply removed"),
        pytest.param([AIMessage("X"), HumanMessage("H3")], "H1 A1 H2 A2 X H3", id="another agent hands over"),
        pytest.param([SystemMessage("S"), *HELD, user("H3")], "S H1 A1 H2 A2 H3", id="instructions come with it"),
    ],
)
def test_the_conversation_is_what_the_client_shows(incoming: list[AnyMessage], expected: str) -> None:
    assert [message.text for message in align_messages(HELD, incoming)] == expected.split()


def test_what_is_recognised_keeps_its_id_and_its_mark() -> None:
    marked = AIMessage("A1", id="ours", response_metadata={"mirror": {"turn": 1}})
    conversation = align_messages([user("H1"), marked], bare("H1", "A1", "H2"))
    assert conversation[1] == marked


def test_a_reply_behind_an_edited_message_is_no_reply_of_ours() -> None:
    edited = align_messages(HELD, [user("H1*", "id of H1"), ours("A1"), user("H3")])
    assert [message.id for message in edited] == ["id of H1", None, "id of H3"]


def test_new_instructions_take_the_place_of_the_old() -> None:
    held = align_messages([], [SystemMessage("Be brief.", id="s"), user("H1")])
    conversation = align_messages([*held, ours("A1")], [SystemMessage("Be kind."), user("H1"), ours("A1"), user("H2")])
    assert [message.text for message in conversation] == ["Be kind.", "H1", "A1", "H2"]


words = st.sampled_from(["yes", "no", "Tell me more.", "I'm allergic to peanuts."])


@given(st.lists(st.tuples(words, words), min_size=1, max_size=6), st.integers(0, 5), words, st.booleans())
def test_a_transcript_that_is_sent_again_adds_its_last_message_and_nothing_else(
    exchanges: list[tuple[str, str]], departed: int, news: str, with_ids: bool
) -> None:
    transcript: list[AnyMessage] = []
    for number, (said, answer) in enumerate(exchanges):
        transcript += [HumanMessage(said, id=f"h{number}"), AIMessage(f"{number}: {answer}", id=f"a{number}")]
    held = transcript[2 * min(departed, len(exchanges) - 1) :]
    sent = [*transcript, HumanMessage(news, id="new")]
    if not with_ids:
        sent = [message.model_copy(update={"id": None}) for message in sent]
    conversation = align_messages(held, sent)
    assert conversation[:-1] == held
    assert conversation[-1].text == news


@given(st.data())
def test_every_new_message_of_a_users_is_in_the_conversation(data: st.DataObject) -> None:
    held = data.draw(st.lists(st.builds(_message, words, st.integers(0, 9), st.booleans()), max_size=6, unique_by=_id))
    sent = data.draw(st.lists(st.builds(_message, words, st.integers(5, 14), st.booleans()), max_size=6, unique_by=_id))
    fresh = HumanMessage("I'm allergic to sesame.", id="fresh")
    conversation = merge_messages(merge_messages([], held), [*sent, fresh])
    assert conversation[-1].text == fresh.text
    ids = [message.id for message in conversation]
    assert len(ids) == len(set(ids))


def _message(words: str, number: int, own: bool) -> AnyMessage:
    return HumanMessage(words, id=f"h{number}") if own else AIMessage(words, id=f"a{number}")


def _id(message: AnyMessage) -> str | None:
    return message.id


@pytest.mark.parametrize(
    ("channel", "value"),
    [
        ("failures", {"x": 1}),
        ("usage", {"talker": 5}),
        ("turn", 10**9),
        ("turn", -1),
        ("turn", "5"),
        ("turn", True),
        ("narrative", {"turn": 10**9, "text": ""}),
        ("narrative", "I know nothing."),
        ("thoughts", [{"thinker": "goals"}]),
        ("monologue", "words"),
        ("constraints", [{"junk": 1}]),
        ("branch", [{"turn": TURN_LIMIT + 1, "reply": "x"}]),
        ("read", {"turn": 1}),
    ],
)
def test_what_is_no_value_of_a_channel_is_refused(channel: str, value: Any) -> None:
    with pytest.raises(InvalidUpdateError, match=f"^{channel}"):
        check_value(channel, value)


def test_a_summary_in_the_place_of_every_reply_clears_no_conversation() -> None:
    branch: list[AnsweredTurn] = [{"turn": 1, "reply": "r1"}, {"turn": 2, "reply": "r2"}]
    summary = HumanMessage("They talked.", additional_kwargs={"lc_source": "summarization"})

    assert current_branch([summary, HumanMessage("And now?")], branch) == branch
    assert current_branch([HumanMessage("And now?")], branch) == []


@pytest.mark.parametrize("mark", ["summarization", "pinned_skill"])
def test_what_middleware_writes_is_no_users_word(mark: str) -> None:
    assert is_outside_conversation(HumanMessage("I am allergic to milk.", additional_kwargs={"lc_source": mark}))


@pytest.mark.parametrize("thread_id", ["thread-1", "", "\u00e9 \U0001f600", "00000000-0000-0000-0000-000000000001"])
def test_any_text_names_a_thread_of_its_own_for_its_mind(thread_id: str) -> None:
    assert UUID(mind_thread(thread_id)).version == 5
    assert mind_thread(thread_id) == mind_thread(thread_id) != mind_thread(f"{thread_id}x")
