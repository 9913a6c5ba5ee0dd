"""A typed answer is found in whatever a model writes around it; a draft in its reasoning is none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from pydantic import BaseModel

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.calls.structured import read
from mirror_graph.nodes.memory import Memory
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.replies import Replies, prompts_of

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0)


class Note(BaseModel):
    """What is asked for."""

    thought: str
    touched: list[int] = []


PROSE = st.lists(
    st.sampled_from(["{", "}", '{"', '"', "'", "{the chat}", "```json\n", "```", "\\", "[", "]", '{"a": 1}', "{}"])
    | st.text(st.characters(exclude_characters="<>[", exclude_categories=["Cs"]), max_size=12),
    max_size=8,
).map("".join)
TEXT = st.text(st.characters(exclude_characters="<[", exclude_categories=["Cs"]))


@given(before=PROSE, thought=TEXT, touched=st.lists(st.integers()), after=PROSE, indent=st.sampled_from([None, 2]))
def test_a_fitting_object_is_found_in_any_prose(
    before: str, thought: str, touched: list[int], after: str, indent: int | None
) -> None:
    written = json.dumps({"thought": thought, "touched": touched}, indent=indent)
    assert read(AIMessage(before + written + after), Note) == Note(thought=thought, touched=touched)


@given(thoughts=st.lists(TEXT, min_size=1, max_size=4), between=PROSE)
def test_of_several_fitting_objects_the_last_counts(thoughts: list[str], between: str) -> None:
    answer = between.join(json.dumps({"thought": thought}) for thought in thoughts)
    assert read(AIMessage(answer), Note) == Note(thought=thoughts[-1])


@pytest.mark.parametrize(
    "answer",
    [
        'Based on {the chat}, here: {"thought": "Peanuts."}',
        '```json\n{"thought": "Peanuts."}\n```\nHope {this} helps!',
        '<think> {"thought": "draft"} </think>{"thought": "Peanuts."}',
        '<think>or {"thought": "draft"}?\n</think>\n```json\n{"thought": "Peanuts."}\n```',
        '{"thought": "draft"}\nNo, better:\n{"thought": "Peanuts."}',
        '{"answer": {"thought": "Peanuts."}}',
        '[{"thought": "Peanuts."}]',
        'She wrote "hi {" and 5" pipes: {"thought": "Peanuts."}',
        '{"thought": "Peanuts."} {"about": "something else"}',
        '{"thought": "<think>hm</think>Peanuts."}',
        '<think>never closed: {"thought": "Peanuts."}',
        '{"thought": "Peanuts."',
    ],
)
def test_answers_as_models_write_them(answer: str) -> None:
    found = read(AIMessage(answer), Note)
    assert found == (None if answer.endswith('"') else Note(thought="Peanuts."))


@pytest.mark.parametrize(
    ("answer", "metadata"),
    [
        ('<think> {"thought": "draft"} </think>', {}),
        ('<think> {"thought": "draft"} and then', {"finish_reason": "length"}),
        ('{"thought": "{unclosed"', {}),
        ("{" * 30_000, {}),
        ('{"a":' * 5_000, {}),
        ("", {}),
    ],
)
def test_a_draft_is_no_answer(answer: str, metadata: dict[str, str]) -> None:
    assert read(AIMessage(answer, response_metadata=metadata), Note) is None


def test_the_objects_of_an_answer_are_no_answers_of_their_own() -> None:
    claim = {"quote": "I am allergic", "about": "peanuts", "kind": "allergy", "severity": "serious", "whose": "user"}
    answer = read(AIMessage(json.dumps({"thought": "Peanuts.", "told": [claim]})), Memory)
    assert answer is not None
    assert (answer.thought, [entry.about for entry in answer.told]) == ("Peanuts.", ["peanuts"])


def test_reasoning_in_the_arguments_of_a_tool_is_no_thought() -> None:
    call = {"name": "Note", "args": {"thought": "<think>draft</think>Peanuts."}, "id": "1"}
    assert read(AIMessage("", tool_calls=[call]), Note) == Note(thought="Peanuts.")


WRITTEN = [
    'Based on {the chat}, here: {"thought": "They are allergic to {peanuts}."}',
    '```json\n{"thought": "They are allergic to {peanuts}."}\n```\nHope {this} helps!',
    '<think> {"thought": "draft"} </think>{"thought": "They are allergic to {peanuts}."}',
    "They are allergic to {peanuts}.",
]


@pytest.mark.parametrize("written", WRITTEN, ids=["prose", "fence", "draft", "no JSON at all"])
async def test_the_memory_thinker_reads_it_from_one_call(endpoint: Endpoint, replies: Replies, written: str) -> None:
    replies.by_component["memory"] = Answer(written, plain=True)
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        assert await conversation.settle(timeout=100)
        assert (await conversation.mind()).thoughts["memory"] == "They are allergic to {peanuts}."
    assert len(prompts_of(endpoint.calls, "memory")) == 1


@pytest.mark.parametrize("thinking", ["parallel", "joint"])
async def test_a_refused_typed_answer_is_paid_once_and_named(
    endpoint: Endpoint, replies: Replies, thinking: Any, quick_retries: None
) -> None:
    component = "joint" if thinking == "joint" else "memory"
    replies.by_component[component] = Answer(refusal="I cannot help with that.")
    async with open_mirror(context=MirrorContext(talker_model="openai:test", thinking=thinking)) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        await conversation.settle(timeout=100)
        mind = await conversation.mind()
    assert mind.failures[component]["error"] == "RefusalError"
    assert len(prompts_of(endpoint.calls, component)) == mind.failures[component]["count"]
    assert "cannot help" not in repr(mind)
