"""Recommendations: what is offered, what never is, what is stored, and what is refused."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from mirror_graph import (
    Conversation,
    InvalidItemError,
    Item,
    MessageRefusedError,
    MirrorContext,
    Offer,
    ReplyError,
    build_recommend,
    open_mirror,
    open_mirror_sync,
)
from mirror_graph.calls.proposing import Proposal, ProposedItem
from mirror_graph.models.scripted import register_script
from mirror_graph.nodes.offer import guard_offer, make_offer
from mirror_graph.relevance.screen_items import screen_with_reason
from mirror_graph.relevance.screening import screen
from mirror_graph.state.offers import Verdict, check_item
from mirror_graph.state.titles import key
from mirror_graph.state.values import SafetyConstraint
from mirror_graph.testing.endpoint import Answer, Endpoint
from mirror_graph.testing.environment import environment
from tests.builders import constraint, heavy_law

MENU = {
    "Satay": "Chicken on skewers with peanut sauce.",
    "Dal": "Red lentils with cumin.",
    "Pad thai": "Noodles with roasted peanuts.",
    "Ribollita": "Bread soup with kale and beans.",
    "Gado-gado": "Vegetables with peanut sauce.",
    "Risotto": "Rice with saffron.",
}
GOLDEN = {"title": "Golden Bowl", "about": "Noodles with roasted peanuts.", "met": "eaten"}
UNSAFE = {"Satay", "Pad thai", "Gado-gado"}
ALLERGIC = "I'm allergic to peanuts."
QUIET = MirrorContext(talker_model="scripted:echo", thinking="off")


def dish(title: str, about: str = "", **fields: Any) -> dict[str, Any]:
    return {"title": title, "about": about or MENU.get(title, ""), "met": "eaten", **fields}


def menu(request: str, count: int, without: list[str]) -> list[dict[str, Any]]:
    return [dish(title) for title in MENU if title not in without][:count]


REASONS = (
    "",
    "A warm bowl for a cold night.",
    "Its sauce is rich.",
    "Friends will ask for the recipe.",
    "Try it once.",
)


def screen_all(known: Sequence[SafetyConstraint], items: Sequence[Item]) -> list[Verdict]:
    return [screen_with_reason(known, item) for item in items]


def titles(items: Sequence[Item]) -> list[str]:
    return [item["title"] for item in items]


async def offer(
    source: Any = menu, k: int = 3, said: Sequence[str] = (ALLERGIC,), request: str = "And for dinner?", **choices: Any
) -> Offer:
    """Ask for a recommendation after the user has said something."""
    async with open_mirror(
        context=MirrorContext(**{"talker_model": "scripted:echo", "thinking": "off", **choices})
    ) as mirror:
        conversation = mirror.conversation("dinner")
        for message in said:
            await conversation.say(message)
        return await conversation.recommend(request, k=k, source=source)


def proposing(*proposals: Any) -> tuple[str, list[str]]:
    """Register a model that gives these proposals one after the other, and return its name and the prompts it gets."""
    prompts: list[str] = []
    name = f"proposer-{uuid4()}"

    def script(messages: list[Any]) -> str:
        prompt = "\n".join(message.text for message in messages)
        if "You recommend things" not in prompt:
            return '{"things": []}'
        prompts.append(prompt)
        proposal = proposals[min(len(prompts), len(proposals)) - 1]
        return proposal if isinstance(proposal, str) else json.dumps({"items": proposal})

    register_script(name, script)
    return f"scripted:{name}", prompts


async def test_what_touches_a_constraint_is_replaced_by_what_fits() -> None:
    made = await offer()

    assert titles(made.items) == ["Dal", "Ribollita", "Risotto"]
    assert (made.missing, made.unchecked, made.rounds) == (0, 0, 2)
    assert {verdict["item"]["title"] for verdict in made.withheld} == UNSAFE
    assert made.text.splitlines() == ["1. Dal", "2. Ribollita", "3. Risotto"]


async def test_a_constraint_that_the_request_itself_states_counts() -> None:
    made = await offer(said=(), request=f"{ALLERGIC} What could I cook for dinner?")

    assert UNSAFE.isdisjoint(titles(made.items))


async def test_the_model_proposes_without_a_source_and_never_learns_why_a_title_is_left_out() -> None:
    first = [dish(title) for title in ("Satay", "Dal")]
    model, prompts = proposing(first, [dish("Risotto")], [])
    made = await offer(source=None, k=2, talker_model=model)

    assert titles(made.items) == ["Dal", "Risotto"]
    assert 'Leave out: "Satay", "Dal".' in prompts[1]
    assert "touch" not in prompts[1]


async def test_an_offer_is_never_padded_and_says_so_in_the_language_of_the_request() -> None:
    made = await offer(k=5, request="Was kann ich heute für das Abendessen kochen, hast du eine Idee?")

    assert titles(made.items) == ["Dal", "Ribollita", "Risotto"]
    assert made.missing == 2
    assert made.text.endswith("Das sind 3 von 5, um die du gebeten hast. Mehr habe ich nicht, was zu dir passt.")


async def test_nothing_that_fits_is_no_error() -> None:
    made = await offer(source=lambda request, count, without: [])

    assert (made.items, made.missing, made.text) == ([], 3, "I found nothing that suits you.")


async def test_what_was_offered_is_not_offered_again() -> None:
    asked: list[list[str]] = []

    def recorded(request: str, count: int, without: list[str]) -> list[dict[str, Any]]:
        asked.append(without)
        return [dish(title) for title in MENU]  # whatever it is asked to leave out

    async with open_mirror(context=QUIET) as mirror:
        conversation = mirror.conversation("dinner")
        first = await conversation.recommend("What is for dinner?", k=2, source=recorded)
        second = await conversation.recommend("And what else?", k=2, source=recorded)

    assert titles(first.items) == ["Satay", "Dal"]
    assert titles(second.items) == ["Pad thai", "Ribollita"]
    assert asked[-1] == ["Satay", "Dal"]


async def test_a_retracted_constraint_brings_the_items_back() -> None:
    made = await offer(said=(ALLERGIC, "I never said I'm allergic to peanuts."), k=1)

    assert titles(made.items) == ["Satay"]


async def test_a_reason_that_touches_a_constraint_withholds_its_item() -> None:
    made = await offer(
        lambda *_: [dish("Dal", why="I serve it with a peanut sauce."), dish("Risotto", why="Warm.")], k=1
    )

    assert titles(made.items) == ["Risotto"]


async def test_a_reason_that_names_what_is_withheld_is_left_out() -> None:
    made = await offer(
        lambda *_: [GOLDEN, dish("Dal", why="Milder than the golden bowl."), dish("Risotto", why="Warm.")], k=2
    )

    assert made.text.splitlines() == ["1. Dal", "2. Risotto: Warm."]


@heavy_law(50)
@given(st.lists(st.sampled_from(sorted(MENU)), min_size=1, max_size=4, unique=True), st.sampled_from(REASONS))
def test_law_the_guard_adds_nothing_to_an_offer_that_the_screening_let_through(names: list[str], why: str) -> None:
    peanuts = constraint("peanuts")
    offered = [check_item(dish(name, why=why)) for name in names]
    fitting = [verdict for verdict in screen_all([peanuts], offered) if verdict["finding"] == "fits"]
    made = make_offer(fitting, frozenset(), 5, 1, "en")

    assert guard_offer(made, [peanuts], "What shall I cook tonight?") == ("", [])


def test_a_film_about_a_danger_that_is_only_eaten_gets_no_note() -> None:
    film: Item = {
        "title": "The Peanut Farm", "year": 1999, "about": "Brothers on a peanut farm.", "tags": [], "met": "shown",
        "why": "You will love these peanut farmers.",
    }  # fmt: skip
    made = make_offer(screen_all([constraint("peanuts")], [film]), frozenset(), 1, 1, "en")

    assert made.items == [film]
    assert guard_offer(made, [constraint("peanuts")], "A film, please.") == ("", [])


def test_the_guard_adds_a_note_to_a_reason_that_the_screening_missed() -> None:
    missed: Verdict = {
        "item": check_item(dish("Noodles", "Noodles.", why="Have them with plenty of peanut sauce.")),
        "finding": "fits",
        "constraint": "",
        "by": "model",
    }
    added = guard_offer(make_offer([missed], frozenset(), 1, 1, "en"), [constraint("peanuts")], "What shall I eat?")

    assert "peanuts" in added.note
    assert [mark["by"] for mark in added.marks] == ["reply"]


@pytest.mark.parametrize(("severity", "offered"), [("life-threatening", []), ("serious", ["Surprise"])])
async def test_an_undecided_item_is_withheld_under_a_constraint_that_may_kill(
    severity: str, offered: list[str]
) -> None:
    async with open_mirror(
        context=MirrorContext(talker_model="scripted:echo", thinking="off", user_id="ana")
    ) as mirror:
        await mirror.user("ana").add("peanuts", kind="allergy", severity=severity)  # type: ignore[arg-type]  # parametrized
        made = await mirror.conversation("dinner", user_id="ana").recommend(
            "Dinner?", k=1, source=lambda *_: [dish("Surprise")]
        )

    # The echoing model gives no readable answer, so that the relations' doubt stays.
    assert titles(made.items) == offered
    assert made.unchecked == len(offered)


async def test_one_call_decides_about_all_that_the_relations_cannot() -> None:
    judged: list[str] = []

    def script(messages: list[Any]) -> str:
        judged.append(messages[-1].text)
        return '{"things": [{"thing": 1, "danger": 1}, {"thing": 2, "danger": 0}]}'

    register_script("judge", script)
    dishes = [dish("Surprise"), dish("Dal"), dish("Plate of the day")]
    made = await offer(
        lambda *_: dishes, said=(), request="I'm allergic to peanuts. Dinner?", talker_model="scripted:judge"
    )

    assert titles(made.items) == ["Dal", "Plate of the day"]
    assert [verdict["by"] for verdict in made.withheld] == ["model"]
    assert len(judged) == 1
    assert '"Surprise"' in judged[0]
    assert '"Dal"' not in judged[0]


async def test_no_proposed_item_is_in_a_checkpoint_but_those_offered() -> None:
    saver = InMemorySaver()
    graph = build_recommend(source=menu, context=QUIET).compile(checkpointer=saver, store=InMemoryStore())
    config: Any = {"configurable": {"thread_id": "dinner"}}
    values = await graph.ainvoke({"messages": [HumanMessage(f"{ALLERGIC} What is for dinner?")], "k": 3}, config)

    assert titles(values["items"]) == ["Dal", "Ribollita", "Risotto"]
    assert not UNSAFE & set(json.dumps(values, default=str).replace('"', " ").split())
    stored = [str(found) for found in saver.list(config)]
    assert any("Ribollita" in found for found in stored)
    assert not [title for title in UNSAFE for found in stored if title in found]


async def test_a_recommendation_is_a_turn_like_any_other() -> None:
    context = MirrorContext(talker_model="scripted:echo", think_after=0)
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("dinner")
        await conversation.say(ALLERGIC)
        made = await conversation.recommend("And for dinner?", k=3, source=menu)
        assert await conversation.settle(60)
        mind = await conversation.mind()
        window = await conversation.messages()

    assert (mind.turn, mind.lag) == (2, 0)
    assert window[-1].text == made.text
    assert not [title for title in UNSAFE for message in window if title in message.text]


async def test_what_takes_no_room_in_the_thinking_budget_is_counted_by_component() -> None:
    model, _ = proposing([dish("Dal"), dish("Risotto")])
    async with open_mirror(context=MirrorContext(talker_model=model, thinking="off")) as mirror:
        conversation = mirror.conversation("dinner")
        await conversation.recommend("Dinner?", k=1)
        mind = await conversation.mind()

    assert mind.usage["propose"]["total"]["calls"] == 1


def test_a_program_without_an_event_loop_recommends_too(tmp_path: Path) -> None:
    with open_mirror_sync(tmp_path / "mirror.db", context=QUIET) as mirror:
        conversation = mirror.conversation("dinner")
        conversation.say(ALLERGIC)
        assert titles(conversation.recommend("And for dinner?", k=3, source=menu).items) == [
            "Dal",
            "Ribollita",
            "Risotto",
        ]


async def test_a_source_may_be_asynchronous() -> None:
    async def search(request: str, count: int, without: list[str]) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        return menu(request, count, without)

    assert titles((await offer(search, k=1)).items) == ["Dal"]


@pytest.mark.parametrize("k", [0, 51, -1, True, 2.0, "3"])
async def test_a_wrong_number_of_items_is_refused_before_anything_is_stored(k: Any) -> None:
    async with open_mirror(context=QUIET) as mirror:
        conversation = mirror.conversation("dinner")
        with pytest.raises(InvalidItemError, match="expected a whole number of items from 1 to 50"):
            await conversation.recommend("Dinner?", k=k, source=menu)
        assert await conversation.messages() == []


def raising(request: str, count: int, without: list[str]) -> Any:
    raise KeyError(request)


WRONG_SOURCES: dict[str, tuple[Callable[..., Any], type[Exception], str]] = {
    "raises": (raising, ReplyError, "the source raised KeyError: expected it to return a list"),
    "returns no list": (lambda *_: "Dal", ReplyError, "the source returned str: expected a list of items"),
    "is too slow": (lambda *_: time.sleep(0.4), ReplyError, "returned nothing within 0.05 s"),
    "gives no title": (lambda *_: [{"met": "eaten"}], InvalidItemError, "has no title"),
    "gives an unknown met": (lambda *_: [{"title": "Dal", "met": "drunk"}], InvalidItemError, "expected one of shown"),
    "gives a wrong year": (lambda *_: [dish("Dal", year="2012")], InvalidItemError, "expected a whole number or None"),
}


@pytest.mark.parametrize("problem", WRONG_SOURCES)
async def test_a_wrong_source_costs_the_reply_and_not_the_message(problem: str) -> None:
    source, error, expected = WRONG_SOURCES[problem]
    slow = 0.05 if problem == "is too slow" else 60
    async with open_mirror(
        context=MirrorContext(talker_model="scripted:echo", thinking="off", talker_timeout=slow)
    ) as mirror:
        conversation = mirror.conversation("dinner")
        with pytest.raises(error, match=expected) as raised:
            await conversation.recommend("Dinner tonight?", source=source)
        assert "tonight" not in str(raised.value)
        assert [message.text for message in await conversation.messages()] == ["Dinner tonight?"]
        again = await offer_from(conversation)
        assert titles(again.items) == ["Satay"]
        assert [message.type for message in await conversation.messages()] == ["human", "ai"]


async def offer_from(conversation: Conversation) -> Offer:
    return await conversation.recommend("Dinner tonight?", k=1, source=_instant)


async def _instant(request: str, count: int, without: list[str]) -> list[dict[str, Any]]:
    return menu(request, count, without)


@pytest.mark.parametrize("answer", ["I would cook something warm.", '{"items": [{"title": "", "met": "eaten"}]}'])
async def test_a_proposal_that_cannot_be_read_is_an_error_and_the_message_stays(answer: str) -> None:
    model, _ = proposing(answer)
    async with open_mirror(context=MirrorContext(talker_model=model, thinking="off")) as mirror:
        conversation = mirror.conversation("dinner")
        with pytest.raises(ReplyError, match="propos"):
            await conversation.recommend("Dinner?")
        assert [message.text for message in await conversation.messages()] == ["Dinner?"]


async def test_of_a_proposal_that_is_partly_wrong_the_rest_counts() -> None:
    model, _ = proposing(
        [{"title": "Dal", "met": "drunk"}, dish("Risotto", year="none"), {**dish("Ramen"), "tags": None}]
    )
    made = await offer(source=None, k=2, said=(), talker_model=model)

    assert titles(made.items) == ["Risotto", "Ramen"]


async def test_of_a_proposal_that_was_cut_the_whole_items_count() -> None:
    text = json.dumps({"items": [dish("Dal"), dish("Risotto"), dish("Ribollita")]})
    answer = Answer(text[: text.index("Ribollita") + 12], finish_reason="length", plain=True)
    with Endpoint(lambda call: answer) as endpoint, environment(OPENAI_BASE_URL=endpoint.url, OPENAI_API_KEY="none"):
        async with open_mirror(context=MirrorContext(talker_model="openai:small", thinking="off")) as mirror:
            made = await mirror.conversation("dinner").recommend("Dinner?", k=2)

    assert titles(made.items) == ["Dal", "Risotto"]


def test_a_proposal_is_asked_for_with_a_description_of_every_item() -> None:
    schema = Proposal.model_json_schema()["$defs"]["ProposedItem"]

    assert {"title", "about", "met", "why"} <= set(schema["required"])
    assert ProposedItem.model_validate({"title": "Dal", "met": "eaten"}).about == ""


async def test_a_failure_to_fill_the_places_left_is_counted_and_the_others_are_offered() -> None:
    rounds: list[int] = []

    def once(request: str, count: int, without: list[str]) -> list[dict[str, Any]]:
        rounds.append(count)
        if len(rounds) > 1:
            raise OSError("gone")
        return [dish("Dal")]

    async with open_mirror(context=QUIET) as mirror:
        conversation = mirror.conversation("dinner")
        made = await conversation.recommend("Dinner?", k=3, source=once)
        failures = (await conversation.mind()).failures

    assert (titles(made.items), made.missing, rounds) == (["Dal"], 2, [5, 2])
    assert failures["propose"]["error"] == "OSError"


async def test_an_empty_message_is_refused() -> None:
    with pytest.raises(MessageRefusedError):
        await offer(request=" ")


SAFE_TEXTS = ["Red lentils with cumin.", "Rice with saffron.", "No peanuts, only ginger.", ""]
UNSAFE_TEXTS = ["Noodles with roasted peanuts.", "Peanut butter on toast.", "Chicken satay."]
PROPOSED = st.builds(
    dish,
    st.sampled_from(["Dal", "DAL", "Dál", "Satay", "Risotto", "Ramen", "The Ramen", "Soup"]),
    about=st.sampled_from([*SAFE_TEXTS, *UNSAFE_TEXTS]),
    why=st.sampled_from(["Warm.", "Like satay.", "It has peanuts.", ""]),
    year=st.sampled_from([None, 2012]),
    met=st.sampled_from(["eaten", "shown"]),
)
PEANUTS = constraint("peanuts")


@heavy_law(100)
@given(st.lists(st.lists(PROPOSED, max_size=6), max_size=4), st.integers(1, 6))
def test_law_nothing_that_touches_is_offered_or_repeated_whoever_proposes(
    proposals: list[list[dict[str, Any]]], k: int
) -> None:
    rounds = iter(proposals)
    made = asyncio.run(offer(lambda *_: next(rounds, []), k=k))

    assert len(made.items) + made.missing == k
    assert made.rounds <= 3
    assert [item for item in made.items if screen([PEANUTS], item)["finding"] == "touches"] == []
    assert not [item for item in made.items if item["met"] == "eaten" and "It has peanuts." in item.get("why", "")]
    keys = [(key(item["title"]), item["year"]) for item in made.items]
    assert len(set(keys)) == len(keys)
    withheld = {verdict["item"]["title"] for verdict in made.withheld} - set(titles(made.items))
    assert not [title for title in withheld if f". {title}" in made.text]


@heavy_law(50)
@given(st.sampled_from(UNSAFE_TEXTS), st.integers(1, 50))
def test_law_a_proposer_that_repeats_one_unsafe_item_ends_with_an_empty_offer(about: str, k: int) -> None:
    made = asyncio.run(offer(lambda *_: [dish("Plate", about)], k=k))

    assert (made.items, made.missing) == ([], k)
    assert made.rounds <= 3
