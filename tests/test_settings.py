"""A wrong setting is an error at once that says what was expected; a wrong model shows in the mind."""

import math
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from mirror_graph import ConfigurationError, MirrorContext, open_mirror
from mirror_graph.models import register_script, scripted_model
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from tests.replies import Replies, component_of, prompts_of

CHAT_NAMES = "expected openai:NAME, local:NAME, scripted:NAME or PROVIDER:NAME"
NO_NAMES: list[Any] = [
    "nope",
    "",
    ":gpt",
    "openai:",
    "openai: ",
    " openai:gpt",
    "a b:gpt",
    "openai:g\npt",
    5,
    b"openai:gpt",
]


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("setting", ["talker_model", "thinker_model", "synthesis_model"])
def test_what_names_no_model_is_refused_by_every_part(setting: str, name: Any) -> None:
    wrong: dict[str, Any] = {setting: name}
    with pytest.raises(ConfigurationError, match=CHAT_NAMES):
        MirrorContext(**wrong)


def test_a_model_with_tools_is_refused_with_what_to_do() -> None:
    with_tools = ChatOpenAI(model="m", api_key=SecretStr("none")).bind_tools([])
    with pytest.raises(ConfigurationError, match=r"with tools.*MirrorMiddleware"):
        MirrorContext(talker_model=with_tools)  # type: ignore[arg-type]  # the mistake
    with pytest.raises(ConfigurationError, match="set such options on the model itself"):
        MirrorContext(thinker_model=scripted_model("echo").bind(stop=["."]))  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize(
    "name", ["openai:gpt-4o-mini", "openai:openai/gpt-5-mini", "local:/a folder/m.gguf", "google_genai:gemini", "x:y:z"]
)
def test_what_names_a_model_is_taken_without_looking_it_up(name: str) -> None:
    assert MirrorContext(thinker_model=name).thinker_model == name


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"embeddings": 5}, "expected openai:NAME or PROVIDER:NAME"),
    ({"embeddings": "nope"}, "expected openai:NAME or PROVIDER:NAME"),
    ({"embeddings": None}, "expected openai:NAME or PROVIDER:NAME"),
    ({"instructions": 5}, "instructions is 5: expected a string"),
    ({"instructions": None}, "expected a string"),
    ({"instructions": "half \ud800"}, "lone surrogate"),
    ({"instructions": "x" * 128_001}, "32,001 tokens: expected at most 32,000"),
    ({"directive": 5}, "directive is 5: expected a string"),
    ({"directive": "\udfff"}, "lone surrogate"),
    ({"directive": "x" * 10_000}, "expected at most 2,000"),
    ({"thinkers": None}, "expected a list of names"),
    ({"thinkers": "goals"}, "expected a list of names"),
    ({"thinkers": 5}, "expected a list of names"),
    ({"thinkers": [5]}, "a thinker is 5: expected a string"),
    ({"thinkers": ["a:"]}, "unknown thinker 'a:': expected a name, or 'name: what it thinks about'"),
    ({"thinkers": ["a: \t"]}, "what it thinks about"),
    ({"thinkers": [": food"]}, "what it thinks about"),
    ({"thinkers": ["a: \ud800"]}, "lone surrogate"),
    ({"thinkers": [f"a{number}: food" for number in range(9)]}, "expected 1 to 8"),
    ({"thinkers": ["a: " + "x" * 5_000]}, "expected at most 1,000"),
    ({"thinkers": ["synthesis: food"]}, "cannot be named 'synthesis'"),
    ({"temperature": "warm"}, "from 0 to 2"),
    ({"temperature": math.nan}, "from 0 to 2"),
    ({"think_after": math.nan}, "think_after is nan: expected a number from 0 to 3,600"),
    ({"think_after": math.inf}, "expected a number from 0 to 3,600"),
    ({"think_after": None}, "expected a number"),
    ({"talker_timeout": math.nan}, "expected a number"),
    ({"max_lag": 0}, "from 1 to 100"),
    ({"thread_tokens": -1}, "from 0"),
    ({"thread_tokens": 0.5}, "a whole number"),
    ({"user_id": ""}, "user_id is '': expected a string that identifies one user"),
    ({"user_id": "  "}, "identifies one user"),
    ({"user_id": 5}, "user_id is 5"),
    ({"user_id": "\ud800"}, "identifies one user"),
]


@pytest.mark.parametrize(("changes", "expected"), WRONG, ids=[str(changes)[:40] for changes, _ in WRONG])
def test_a_wrong_setting_says_what_was_expected(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        MirrorContext(**changes)


def test_eight_thinkers_and_no_temperature_are_fine() -> None:
    context = MirrorContext(thinkers=tuple(f"a{number}: food" for number in range(8)), temperature=None)
    assert (len(context.thinker_names), context.temperature) == (8, None)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_thinking": 0}, "max_thinking is 0: expected a whole number from 1"),
        ({"max_thinking": True}, "expected a whole number"),
        ({"max_thinking": 1.5}, "expected a whole number"),
        ({"daily_tokens": -1}, "daily_tokens is -1: expected a whole number from 0, or None"),
        ({"daily_tokens": math.nan}, "expected a whole number"),
        ({"drain": -1}, "drain is -1: expected a number of seconds from 0"),
        ({"drain": math.nan}, "drain is nan"),
        ({"drain": math.inf}, "drain is inf"),
        ({"drain": "long"}, "drain is 'long'"),
        ({"context": {"thinking": "off"}}, "expected a MirrorContext"),
        ({"context": MirrorContext}, "expected a MirrorContext"),
    ],
)
async def test_a_host_that_is_set_up_wrongly_does_not_open(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        async with open_mirror(**settings):
            pass


@pytest.mark.parametrize("user_id", ["", " ", 5, 1.5, b"ana", "\ud800"])
async def test_what_identifies_no_user_is_refused_at_once(user_id: Any) -> None:
    async with open_mirror(context=MirrorContext(talker_model="scripted:echo")) as mirror:
        with pytest.raises(ConfigurationError, match="identifies one user"):
            mirror.conversation("t", user_id=user_id)
        with pytest.raises(ConfigurationError, match="identifies one user"):
            mirror.user(user_id)
        with pytest.raises(ConfigurationError, match="expected a string"):
            mirror.conversation(5)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("thinking", ["parallel", "joint", "synthesis_only"])
@pytest.mark.parametrize("name", ["nobody:knows-it", "scripted:nowhere", "local:nowhere"])
async def test_a_thinker_model_that_is_not_there_shows_in_the_mind(
    endpoint: Endpoint, thinking: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = MirrorContext(
        talker_model="openai:test", thinker_model=name, synthesis_model=name, thinking=thinking, think_after=0
    )
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("t")
        assert (await conversation.say("hello")).text == "I hear you."
        assert not await conversation.settle(timeout=100)
        failures = (await conversation.mind()).failures
    assert failures
    assert {failure["error"] for failure in failures.values()} == {"ConfigurationError"}
    assert name.partition(":")[2] in caplog.text
    assert [component_of(call) for call in endpoint.calls] == ["talker"]


async def test_a_thinker_model_that_fails_at_run_time_shows_in_the_mind(endpoint: Endpoint, replies: Replies) -> None:
    def answer(call: Call) -> Answer | str:
        return Answer(status=404, error_code="model_not_found") if call.model == "gone" else replies(call)

    endpoint.answer = answer
    context = MirrorContext(talker_model="openai:test", thinker_model="openai:gone", think_after=0)
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        assert not await conversation.settle(timeout=100)
        failures = (await conversation.mind()).failures
    assert failures.keys() == {"goals", "reasoning", "memory"}
    assert {failure["error"] for failure in failures.values()} == {"OpenAIModelNotFoundError"}


async def test_a_check_whose_model_is_not_there_costs_no_reply(endpoint: Endpoint) -> None:
    register_script("thinks", lambda messages: "Peanuts.")
    context = MirrorContext(talker_model="openai:test", thinker_model="scripted:nowhere", relevance="check")
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("t")
        reply = await conversation.say("I'm severely allergic to peanuts. Is satay fine?")
        assert reply.text.startswith("I hear you.")
        assert (await conversation.mind()).failures["check"]["error"] == "ConfigurationError"
    assert "peanuts" in prompts_of(endpoint.calls, "talker")[0]
