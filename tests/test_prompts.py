"""The words every model is told: a change of them is a change in review."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from syrupy.assertion import SnapshotAssertion

from mirror_graph.nodes.synthesize import request
from mirror_graph.nodes.talk import mind_block, reply_prompt
from mirror_graph.nodes.think import stream, task
from mirror_graph.prompts import VOICES, block, quoted, render, unmarked
from mirror_graph.state import ALL_THINKERS, MindState, MirrorContext, empty_mind

CONTEXT = MirrorContext(instructions="Mention that the kitchen closes at ten.")


def a_mind() -> MindState:
    return {
        **empty_mind(),
        "turn": 1,
        "narrative": {"turn": 1, "text": "They are allergic to peanuts, so I look twice at what they order."},
        "thoughts": [
            {"thinker": "goals", "turn": 1, "text": "They want a quiet dinner."},
            {"thinker": "memory", "turn": 1, "text": "They are allergic to peanuts."},
        ],
        "monologue": [
            {
                "turn": 1,
                "exchanges": [{"turn": 1, "user": "I'm allergic to peanuts.", "reply": "Good to know."}],
                "thoughts": [{"thinker": "goals", "turn": 1, "text": "They want a quiet dinner."}],
            }
        ],
    }


def as_text(prompt: list[BaseMessage]) -> str:
    return "\n\n".join(f"[{message.type}]\n{message.text}" for message in prompt)


def test_the_talkers_prompt(snapshot: SnapshotAssertion) -> None:
    messages = [HumanMessage("I'm allergic to peanuts."), AIMessage("Good to know."), HumanMessage("Satay tonight?")]
    assert as_text(reply_prompt(messages, mind_block(a_mind(), "0badcafe"), CONTEXT)) == snapshot


def test_the_talkers_first_prompt(snapshot: SnapshotAssertion) -> None:
    assert (
        as_text(reply_prompt([HumanMessage("Hello")], mind_block(empty_mind(), "0badcafe"), MirrorContext()))
        == snapshot
    )


def test_the_talkers_block_of_thoughts(snapshot: SnapshotAssertion) -> None:
    mind: MindState = {**a_mind(), "narrative": {"turn": 0, "text": ""}}
    assert mind_block(mind, "0badcafe") == snapshot


@pytest.mark.parametrize("voice", [*ALL_THINKERS, "humour: what makes them laugh"])
def test_a_thinkers_prompt(voice: str, snapshot: SnapshotAssertion) -> None:
    exchanges = [{"turn": 2, "user": "Satay\ntonight?", "reply": 'It has "peanuts".'}]
    assert as_text(stream(a_mind(), exchanges, task(voice))) == snapshot  # type: ignore[arg-type]  # plain dicts


def test_the_joint_task(snapshot: SnapshotAssertion) -> None:
    aspects = "\n\n".join(task(voice) for voice in ALL_THINKERS)
    assert render("joint", aspects=aspects, names='"goals", "reasoning", "memory"') == snapshot


@pytest.mark.parametrize("thoughts", [True, False], ids=["thoughts", "synthesis_only"])
def test_the_synthesis_prompt(thoughts: bool, snapshot: SnapshotAssertion) -> None:
    mind = a_mind()
    exchanges = mind["monologue"][0]["exchanges"]
    assert as_text(request(mind, exchanges, mind["thoughts"] if thoughts else [], CONTEXT)) == snapshot


def test_the_voices_there_are(snapshot: SnapshotAssertion) -> None:
    assert sorted(VOICES) == snapshot


def test_a_missing_or_an_extra_field_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"takes \['instructions'\], got \[\]"):
        render("talker")
    with pytest.raises(ValueError, match="got"):
        render("goals", name="x")
    with pytest.raises(KeyError):
        render("nobody")


@given(st.text())
def test_no_quoted_text_can_pass_for_a_line_or_a_tag_of_ours(text: str) -> None:
    line = quoted(text)
    assert "\n" not in line
    assert "<" not in line
    assert ">" not in line
    assert line[0] == line[-1] == '"'


@given(st.text())
def test_no_text_inside_the_block_can_close_it(text: str) -> None:
    fenced = block("0badcafe", unmarked(text))
    assert fenced.count("<mirror-0badcafe>") == fenced.count("</mirror-0badcafe>") == 1
