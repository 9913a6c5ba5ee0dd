"""The laws of every reducer: any order, twice the same, bounded, newest wins, nothing mutated."""

from collections.abc import Callable
from copy import deepcopy
from functools import reduce
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage

from mirror_graph.state import reducers
from mirror_graph.state.reducers import (
    COMPONENT_LIMIT,
    MESSAGE_LIMIT,
    MESSAGES_LIMIT,
    MONOLOGUE_LIMIT,
    NARRATIVE_LIMIT,
    THOUGHT_LIMIT,
    entry_tokens,
    merge_failures,
    merge_messages,
    merge_monologue,
    merge_narrative,
    merge_read,
    merge_thoughts,
    merge_turn,
    merge_usage,
    message_tokens,
)
from mirror_graph.state.tokens import count_tokens

turns = st.integers(min_value=0, max_value=9)
names = st.sampled_from(["goals", "memory", "reasoning", "own"])
words = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(), max_size=4),  # lone surrogates and control characters among them
    st.integers(min_value=3_000, max_value=80_000).map(lambda size: "Longer. " * (size // 8)),
)
narratives = st.fixed_dictionaries({"turn": turns, "text": words})
thoughts = st.fixed_dictionaries({"thinker": names, "turn": turns, "text": words})
exchanges = st.fixed_dictionaries({"turn": turns, "user": words, "reply": words})
passages = st.fixed_dictionaries(
    {"turn": turns, "exchanges": st.lists(exchanges, max_size=2), "thoughts": st.lists(thoughts, max_size=2)}
)
counts = st.integers(min_value=0, max_value=9)
failures = st.fixed_dictionaries({"count": counts, "turn": turns, "error": st.sampled_from(["A", "B"])})
tokens = st.fixed_dictionaries({"calls": counts, "input": counts, "output": counts, "cached": counts})
usages = st.fixed_dictionaries({"total": tokens, "turn": turns, "latest": tokens})

JOINS: dict[str, tuple[Callable[[Any, Any], Any], st.SearchStrategy[Any], Any]] = {
    "narrative": (merge_narrative, narratives, {}),
    "thoughts": (merge_thoughts, st.lists(thoughts, max_size=4), []),
    "monologue": (merge_monologue, st.lists(passages, max_size=3), []),
    "turn": (merge_turn, turns, 0),
    "read": (merge_read, st.fixed_dictionaries({"turn": turns, "reply": st.sampled_from("ab")}), {}),
    "failures": (merge_failures, st.dictionaries(names, failures, max_size=3), {}),
    "usage": (merge_usage, st.dictionaries(names, usages, max_size=3), {}),
}
each_join = pytest.mark.parametrize("channel", JOINS)


@each_join
@given(data=st.data())
def test_writes_merge_the_same_in_any_order_and_any_number(channel: str, data: st.DataObject) -> None:
    join, values, empty = JOINS[channel]
    writes = data.draw(st.lists(values, min_size=1, max_size=3))
    merged = reduce(join, writes, empty)
    for order in permutations(writes):
        assert reduce(join, order, empty) == merged
    assert reduce(join, [*writes, *writes, merged], empty) == merged


@each_join
@given(data=st.data())
def test_grouping_does_not_matter(channel: str, data: st.DataObject) -> None:
    join, values, _ = JOINS[channel]
    a, b, c = (data.draw(values) for _ in range(3))
    assert join(join(a, b), c) == join(a, join(b, c))


@each_join
@given(data=st.data())
def test_nothing_is_mutated(channel: str, data: st.DataObject) -> None:
    join, values, _ = JOINS[channel]
    left, right = data.draw(values), data.draw(values)
    before = deepcopy((left, right))
    join(left, right)
    assert (left, right) == before


@given(st.lists(narratives, min_size=1, max_size=5))
def test_the_newest_narrative_wins_within_its_bound(written: list[Any]) -> None:
    empty: Any = {}
    merged = reduce(merge_narrative, written, empty)
    assert merged["turn"] == max(narrative["turn"] for narrative in written)
    assert count_tokens(merged["text"]) <= NARRATIVE_LIMIT


@given(st.lists(st.lists(thoughts, max_size=4), min_size=1, max_size=4))
def test_thoughts_are_of_the_newest_turn_one_a_thinker_and_bounded(written: list[Any]) -> None:
    merged = reduce(merge_thoughts, written, [])
    newest = max((thought["turn"] for batch in written for thought in batch), default=0)
    assert {thought["turn"] for thought in merged} <= {newest}
    assert len({thought["thinker"] for thought in merged}) == len(merged) <= COMPONENT_LIMIT
    assert all(count_tokens(thought["text"]) <= THOUGHT_LIMIT for thought in merged)


def test_the_fan_out_is_gathered_in_one_order() -> None:
    thoughts: list[Any] = [{"thinker": name, "turn": 1, "text": name} for name in ("goals", "memory", "reasoning")]
    for order in permutations(thoughts):
        assert reduce(merge_thoughts, ([thought] for thought in order), []) == thoughts


def test_a_long_monologue_loses_its_oldest_passages_in_one_step() -> None:
    passages = [
        {"turn": turn, "exchanges": [{"turn": turn, "user": "word " * 800, "reply": "ok"}], "thoughts": []}
        for turn in range(1, 60)
    ]
    merged = merge_monologue([], passages)  # type: ignore[arg-type]  # plain dicts
    assert merged[-1] == passages[-1]
    assert sum(map(entry_tokens, merged)) <= 0.8 * MONOLOGUE_LIMIT
    assert merge_monologue(merged, passages) == merge_monologue(passages, merged)  # type: ignore[arg-type]


def test_a_cancelled_components_usage_is_never_counted_down() -> None:
    one = {"calls": 1, "input": 10, "output": 2, "cached": 0}
    two = {"calls": 2, "input": 20, "output": 4, "cached": 8}
    newer = {"goals": {"total": two, "turn": 2, "latest": one}}
    older = {"goals": {"total": one, "turn": 1, "latest": one}}
    assert merge_usage(newer, older) == merge_usage(older, newer) == newer  # type: ignore[arg-type]


messages = st.one_of(
    st.builds(HumanMessage, words, id=st.sampled_from("abc")),
    st.builds(AIMessage, words, id=st.sampled_from("def")),
    st.builds(
        HumanMessage,
        st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": words}), max_size=2),
        id=st.just("g"),
    ),
)


@given(st.lists(messages, max_size=6), st.lists(messages, max_size=6))
def test_messages_are_bounded_clean_and_unique(left: list[AnyMessage], right: list[AnyMessage]) -> None:
    before = deepcopy((left, right))
    merged = merge_messages(merge_messages([], left), right)
    assert merge_messages(merged, right) == merged
    assert (left, right) == before
    assert sum(map(message_tokens, merged)) <= MESSAGES_LIMIT
    assert all(message_tokens(message) <= MESSAGE_LIMIT for message in merged)
    assert all(message.text.encode() is not None for message in merged)  # no lone surrogate is left


@pytest.mark.parametrize(
    "written",
    [
        "hello",
        ("user", "hello"),
        {"role": "user", "content": "hello"},
        HumanMessage("hello"),
        ["hello"],
        [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
    ],
)
def test_messages_come_in_any_form_that_langgraph_takes(written: Any) -> None:
    [message] = merge_messages([], written)
    assert (message.type, message.text) == ("human", "hello")


def test_messages_can_be_removed() -> None:
    merged = merge_messages([], [HumanMessage("a", id="1"), HumanMessage("b", id="2")])
    assert [message.text for message in merge_messages(merged, [RemoveMessage(id="1")])] == ["b"]


def test_a_million_characters_leave_head_and_tail() -> None:
    [message] = merge_messages([], HumanMessage("start " + "x" * 1_000_000 + " end"))
    assert message_tokens(message) <= MESSAGE_LIMIT
    assert message.text.startswith("start ")
    assert message.text.endswith(" end")


def test_every_channel_of_a_mind_has_its_laws_tested() -> None:
    from mirror_graph.state.schema import MindState

    merged = {"constraints", "schema_version"}  # the ledger's laws are in test_ledger.py; the version is a `merge_turn`
    assert JOINS.keys() | merged == MindState.__annotations__.keys()
    assert reducers.merge_turn(1, 2) == 2
