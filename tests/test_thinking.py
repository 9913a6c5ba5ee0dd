"""Every way of thinking: who is asked what, and what the next reply starts from."""

import json
from itertools import pairwise
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph

from mirror_graph import MirrorContext, build_mirror, open_mirror
from mirror_graph.models import register_script
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from tests.builders import context
from tests.replies import Replies, component_of, prompts_of

WHO = {
    "parallel": ["goals", "memory", "reasoning", "synthesis"],
    "joint": ["joint", "synthesis"],
    "synthesis_only": ["synthesis"],
    "monologue_only": ["goals", "memory", "reasoning"],
    "off": [],
}


@pytest.mark.parametrize("thinking", WHO)
async def test_each_way_of_thinking_asks_its_own(endpoint: Endpoint, thinking: Any) -> None:
    async with open_mirror(context=context(thinking=thinking)) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm allergic to peanuts.")
        assert await conversation.settle(timeout=100) is (thinking != "off")
        mind = await conversation.mind()
        second = await conversation.say("Shall we talk about music?")
    calls = [component_of(call) for call in endpoint.calls]
    assert (calls[0], sorted(calls[1:-1]), calls[-1]) == ("talker", WHO[thinking], "talker")
    assert second.narrative_turn == (0 if thinking == "off" else 1)
    last = prompts_of(endpoint.calls, "talker")[-1]
    assert ("I know that they are allergic" in last) is (thinking not in ("monologue_only", "off"))
    assert ("- Food may be a risk." in last) is (thinking == "monologue_only")
    assert mind.turn == (0 if thinking == "off" else 1)


async def test_the_synthesis_reads_thoughts_and_not_the_conversation(endpoint: Endpoint) -> None:
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("Zanzibar is on my mind.")
        await conversation.settle()
    [prompt] = prompts_of(endpoint.calls, "synthesis")
    assert "Food may be a risk." in prompt
    assert "Zanzibar" not in prompt


async def test_thinkers_go_on_from_their_own_thoughts(endpoint: Endpoint) -> None:
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        for turn in (1, 2):
            await conversation.say(f"message {turn}")
            await conversation.settle()
    second = [call for call in endpoint.calls if component_of(call) == "goals"][1]
    assert [message["role"] for message in second.messages] == ["system", "user", "assistant", "user"]
    assert "message 1" in second.messages[1]["content"]
    assert "Food may be a risk." in second.messages[2]["content"]
    assert "message 2" in second.messages[3]["content"]


async def test_a_fourth_thinker_needs_no_graph(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["humour"] = "They like puns."
    thinkers = ("goals", "memory", "humour: what makes them laugh")
    async with open_mirror(context=context(thinkers=thinkers)) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        assert await conversation.settle(timeout=100)
        thoughts = (await conversation.mind()).thoughts
    assert thoughts.keys() == {"goals", "memory", "humour"}
    assert "what makes them laugh" in prompts_of(endpoint.calls, "humour")[0]
    assert "They like puns." in prompts_of(endpoint.calls, "synthesis")[0]


async def test_a_fourth_thinker_may_fail_too(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["humour"] = Answer(status=400)
    async with open_mirror(context=context(thinkers=("goals", "humour: jokes"))) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        await conversation.settle()
        mind = await conversation.mind()
    assert (mind.thoughts.keys(), mind.failures.keys()) == ({"goals"}, {"humour"})


THOUGHTS = {"goals": "A dinner.", "reasoning": "A risk.", "memory": "Peanuts."}


@pytest.mark.parametrize(
    ("supports", "said", "calls"),
    [
        ({"json_schema", "tools", "json_object"}, json.dumps(THOUGHTS), 1),
        ({"tools", "json_object"}, json.dumps(THOUGHTS), 2),
        ({"json_object"}, json.dumps(THOUGHTS), 3),
        (set(), json.dumps(THOUGHTS), 4),
        (set(), "Here you are:\n```json\n" + json.dumps(THOUGHTS) + "\n```\nDone.", 4),
    ],
    ids=["schema", "tools", "json mode", "text", "fenced text"],
)
@pytest.mark.filterwarnings("ignore:.*structured output.*:UserWarning")
async def test_a_structured_answer_steps_down_until_it_can_be_read(
    replies: Replies, supports: Any, said: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies.by_component["joint"] = said
    with Endpoint(replies, supports=frozenset(supports)) as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        async with open_mirror(context=context(thinking="joint")) as mirror:
            conversation = mirror.conversation("t")
            await conversation.say("hello")
            assert await conversation.settle(timeout=100)
            assert (await conversation.mind()).thoughts == THOUGHTS
            assert len([call for call in endpoint.calls if component_of(call) == "joint"]) == calls
            await conversation.say("again")
            await conversation.settle()
            assert len([call for call in endpoint.calls if component_of(call) == "joint"]) == calls + 1


@pytest.mark.parametrize(
    "said", ["", "null", "no JSON at all", '{"goals": "cut', "{}", Answer(refusal="No."), Answer('{"goals": 1}')]
)
async def test_what_cannot_be_read_is_a_failure_and_not_a_thought(
    endpoint: Endpoint, replies: Replies, said: Any, quick_retries: None
) -> None:
    replies.by_component["joint"] = said
    async with open_mirror(context=context(thinking="joint")) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        assert not await conversation.settle(timeout=100)
        mind = await conversation.mind()
    assert (mind.turn, mind.narrative, mind.thoughts) == (0, "", {})
    assert mind.failures["joint"]["count"] >= 1


async def test_an_answer_that_was_cut_is_not_asked_for_another_way(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["joint"] = Answer('{"goals": "cut', finish_reason="length")
    async with open_mirror(context=context(thinking="joint")) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        assert not await conversation.settle(timeout=100)
    assert {len(prompts_of(endpoint.calls, "joint"))} <= {1, 2}  # once a pass


async def test_a_narrative_over_its_budget_is_cut_after_a_sentence(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["synthesis"] = "They are careful. " * 300
    async with open_mirror(context=context(narrative_tokens=50)) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        await conversation.settle()
        narrative = (await conversation.mind()).narrative
    assert narrative.endswith("They are careful.")
    assert len(narrative) <= 200


async def test_the_models_of_each_part_can_differ(endpoint: Endpoint) -> None:
    models = {"thinker_model": "openai:small", "synthesis_model": "openai:large"}
    async with open_mirror(context=context(**models)) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        await conversation.settle()
    assert {component_of(call): call.model for call in endpoint.calls} == {
        "talker": "test",
        "goals": "small",
        "memory": "small",
        "reasoning": "small",
        "synthesis": "large",
    }


async def test_the_one_graph_form_thinks_in_the_same_run(endpoint: Endpoint) -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    graph = build_mirror().compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "any name"}}
    for turn in (1, 2):
        state = await graph.ainvoke({"messages": [HumanMessage(f"message {turn}")]}, config, context=context())
        assert (state["turn"], state["narrative"]["turn"], len(state["messages"])) == (turn, turn, 2 * turn)
    assert "I know that they are allergic" in prompts_of(endpoint.calls, "talker")[1]


async def test_it_composes_as_a_subgraph_and_streams_only_the_reply(endpoint: Endpoint) -> None:
    builder = StateGraph(MessagesState, context_schema=MirrorContext)
    builder.add_node("mirror", build_mirror().compile())
    builder.add_edge(START, "mirror")
    graph = builder.compile()
    said = [
        chunk.text  # type: ignore[union-attr]  # a message
        async for _, (chunk, _) in graph.astream(
            {"messages": [HumanMessage("hello")]}, context=context(), stream_mode="messages", subgraphs=True
        )
    ]
    assert "".join(said) == "I hear you."


async def test_replies_of_other_agents_are_no_turns_and_are_thought_about(endpoint: Endpoint) -> None:
    history = [HumanMessage("a"), AIMessage("b"), HumanMessage("c"), AIMessage("d"), HumanMessage("e")]
    state = await build_mirror().compile().ainvoke({"messages": history}, context=context())
    assert state["messages"][-1].response_metadata["mirror"]["turn"] == 1
    prompt = prompts_of(endpoint.calls, "goals")[0]
    assert all(f'"{words}"' in prompt for words in "abcd")


async def test_a_scripted_mind_needs_no_network() -> None:
    model = register_script("three words", lambda messages: "All is well.")
    async with open_mirror(context=MirrorContext(talker_model="scripted:three words", think_after=0)) as mirror:
        conversation = mirror.conversation("t")
        assert (await conversation.say("hello")).text == "All is well."
        await conversation.settle()
    assert len(model.calls) == 5


async def test_the_three_thinkers_share_one_prefix_and_it_only_grows(endpoint: Endpoint) -> None:
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        for turn in range(4):
            await conversation.say(f"message {turn}")
            await conversation.settle()

    def until_the_task(call: Call) -> str:
        return call.prompt.partition("Now think about **")[0]

    prompts = {
        name: [until_the_task(call) for call in endpoint.calls if component_of(call) == name]
        for name in ("goals", "memory", "reasoning")
    }
    assert prompts["goals"] == prompts["memory"] == prompts["reasoning"]
    for earlier, later in pairwise(prompts["goals"]):
        assert later.startswith(earlier.rstrip())


async def test_the_talkers_prompt_only_grows_up_to_the_windows_end(endpoint: Endpoint) -> None:
    async with open_mirror(context=context()) as mirror:
        conversation = mirror.conversation("t")
        for turn in range(5):
            await conversation.say(f"message {turn}")
            await conversation.settle()
    talks = [call.messages for call in endpoint.calls if component_of(call) == "talker"]
    for earlier, later in pairwise(talks):
        assert later[: len(earlier) - 1] == earlier[:-1]
