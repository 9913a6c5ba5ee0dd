"""Actions are held: which tool calls an agent with MIRROR makes, and what becomes of the others."""

from typing import Any, cast

import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.messages.tool import ToolCall
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from mirror_graph import scan
from mirror_graph.agents import MirrorMiddleware
from mirror_graph.agents.actions import hold
from mirror_graph.agents.record import AgentRecord, empty_record
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from tests.agents import Stage, context, mark_of, request, thread

SHELLFISH = "I'm severely allergic to shellfish."

HARMLESS: list[tuple[str, dict[str, Any]]] = [
    ("order_food", {"dish": "margherita pizza"}),
    ("order_food", {"dish": "vegetable curry", "note": "Severe shellfish allergy, no shellfish please."}),
    ("order_food", {"dish": "fried rice without shrimp"}),
    ("book_table", {"restaurant": "Trattoria Roma", "people": 4}),
    ("book_flight", {"origin": "LIS", "destination": "OPO"}),
    ("search_web", {"query": "does paella contain shellfish?"}),
    ("find_recipes", {"query": "shrimp cocktail"}),
    ("get_menu", {"place": "The Lobster Shack"}),
    ("check_allergens", {"dish": "paella"}),
    ("listOrders", {"customer": "ana"}),
    ("read_file", {"path": "/menus/seafood.txt"}),
    ("write_file", {"path": "/notes.md", "content": "The user is allergic to shellfish."}),
    ("write_todos", {"todos": [{"content": "Ask about the lobster", "status": "pending"}]}),
    ("task", {"description": "Compare seafood restaurants", "subagent_type": "general-purpose"}),
    ("transfer_to_cook", {}),
    ("send_email", {"to": "chef@example.com", "body": "We have a guest with a shellfish allergy."}),
    ("calculate", {"expression": "2 * 21"}),
    ("play_music", {"title": "Rock Lobster"}),
    ("set_reminder", {"text": "Call mum at 5"}),
    ("buy_ticket", {"event": "Football, north stand"}),
    ("get_weather", {"city": "Porto"}),
    ("order_food", {"dish": "rice bowl", "exclude": ["shrimp", "crab"]}),
    ("add_allergy", {"name": "shellfish"}),
    ("set_dietary_restrictions", {"avoid": ["lobster"]}),
]

HELD: list[tuple[str, str, dict[str, Any]]] = [
    (SHELLFISH, "order_food", {"dish": "seafood platter"}),
    (SHELLFISH, "order_food", {"items": [{"name": "shrimp cocktail", "count": 2}]}),
    (SHELLFISH, "order_food", {"dish": "lobster roll for a guest with a shellfish allergy"}),
    ("I was assaulted, and scenes of violence trigger me.", "play_film", {"title": "a film about an assault"}),
    (SHELLFISH, "placeOrder", {"dish": "lobster roll"}),
    ("I have a severe peanut allergy.", "order_food", {"dish": "satay"}),
    ("I'm a recovering alcoholic.", "buy", {"item": "a bottle of rum"}),
    ("I'm a recovering alcoholic.", "book", {"place": "wine tasting in the old town"}),
    ("I'm terrified of heights.", "book", {"activity": "skydiving for two"}),
    ("I take warfarin.", "order_medicine", {"name": "ibuprofen"}),
    ("Tengo alergia grave a los mariscos.", "pedir_comida", {"plato": "paella de mariscos"}),
]


@pytest.fixture
def stage(endpoint: Endpoint) -> Stage:
    return Stage(endpoint)


def after(statement: str, request: str = "Please take care of dinner.") -> AgentRecord:
    """Return the record of a turn before which the user stated something."""
    return {**empty_record(), "constraints": scan(statement), "request": request, "mark": "12345678"}


def called(name: str, args: dict[str, Any]) -> ToolCall:
    return ToolCall(name=name, args=args, id="call-1")


def test_there_are_twenty_harmless_calls() -> None:
    assert len(HARMLESS) > 20


@pytest.mark.parametrize(("name", "args"), HARMLESS, ids=[f"{name} {args}" for name, args in HARMLESS])
def test_a_harmless_call_passes(name: str, args: dict[str, Any]) -> None:
    assert hold(called(name, args), None, after(SHELLFISH)) is None


@pytest.mark.parametrize(("statement", "name", "args"), HELD, ids=[f"{name} {args}" for _, name, args in HELD])
def test_an_action_that_touches_a_severe_constraint_is_held(statement: str, name: str, args: dict[str, Any]) -> None:
    held = hold(called(name, args), None, after(statement))

    assert held is not None
    assert {*held.ids} <= {entry["id"] for entry in scan(statement)}


def test_another_persons_constraint_holds_nothing_that_is_for_the_user() -> None:
    statement = "My sister has a severe shellfish allergy."

    assert hold(called("order_food", {"dish": "seafood platter"}), None, after(statement)) is None


def test_what_the_user_decides_with_open_eyes_is_theirs() -> None:
    record = after(SHELLFISH, "Yes, I know about my allergy, I have my EpiPen. The platter is for my brother.")

    assert hold(called("order_food", {"dish": "seafood platter"}), None, record) is None


def test_a_mere_preference_holds_nothing() -> None:
    statement = [{**entry, "severity": "preference"} for entry in scan(SHELLFISH)]
    record: Any = {**after(SHELLFISH), "constraints": statement}

    assert hold(called("order_food", {"dish": "seafood platter"}), None, record) is None


def test_a_tool_says_itself_whether_it_only_reads() -> None:
    @tool
    def seafood_of_the_day(kind: str) -> str:
        """Return what there is."""
        return kind

    reading = seafood_of_the_day.model_copy(update={"metadata": {"readOnlyHint": True}})
    call = called("seafood_of_the_day", {"kind": "lobster"})

    assert hold(call, reading, after(SHELLFISH)) is None
    assert hold(call, seafood_of_the_day, after(SHELLFISH)) is not None


ORDERED: list[str] = []


@tool
def order_food(dish: str) -> str:
    """Order a dish to the user's table."""
    ORDERED.append(dish)
    return f"{dish} is on its way."


def orders(dish: str) -> Any:
    """Return a model that orders a dish and then reports."""

    def answer(call: Call) -> Answer | str:
        last = call.messages[-1]
        if last["role"] == "user" and "order" in str(last["content"]).lower():
            return Answer(calls=[("order_food", {"dish": dish})])
        return "I have looked into it."

    return answer


async def turn(stage: Stage, mirror: MirrorMiddleware, dish: str) -> tuple[Any, dict[str, Any]]:
    ORDERED.clear()
    agent = create_agent(stage.model, [order_food], middleware=[mirror], checkpointer=InMemorySaver())
    await agent.ainvoke(request(SHELLFISH), thread())
    await mirror.settle("thread-1", timeout=30)
    stage.says(orders(dish))
    return agent, await agent.ainvoke(request("Please order dinner for me."), thread())


def result_in(values: dict[str, Any]) -> ToolMessage:
    [result] = [message for message in values["messages"] if isinstance(message, ToolMessage)]
    return result


async def test_the_platter_is_not_ordered_and_the_model_learns_why(stage: Stage) -> None:
    _, values = await turn(stage, MirrorMiddleware(context=context()), "seafood platter")

    result = result_in(values)
    assert ORDERED == []
    assert (result.status, mark_of(result)["action"]) == ("error", "refused")
    assert SHELLFISH in stage.calls[-1].messages[-1]["content"]
    assert "seafood" in stage.calls[-1].messages[-1]["content"]
    assert stage.endpoint.refused == []


async def test_another_dish_is_ordered(stage: Stage) -> None:
    _, values = await turn(stage, MirrorMiddleware(context=context()), "margherita pizza")

    assert ORDERED == ["margherita pizza"]
    assert result_in(values).response_metadata == {}


async def test_allowed_actions_are_marked(stage: Stage) -> None:
    _, values = await turn(stage, MirrorMiddleware(context=context(), on_action="allow"), "seafood platter")

    assert ORDERED == ["seafood platter"]
    assert mark_of(result_in(values))["action"] == "allowed"


@pytest.mark.parametrize(
    ("answer", "ordered"),
    [(True, ["seafood platter"]), ({"decision": "approve"}, ["seafood platter"]), ("no", []), ({}, []), (None, [])],
)
async def test_the_user_is_asked_if_the_host_wants_that(stage: Stage, answer: Any, ordered: list[str]) -> None:
    mirror = MirrorMiddleware(context=context(), on_action="interrupt")
    agent, paused = await turn(stage, mirror, "seafood platter")
    [asked] = paused["__interrupt__"]

    values = await agent.ainvoke(Command(resume={asked.id: answer}), thread())

    assert asked.value["tool"] == "order_food"
    assert asked.value["they_said"] == [SHELLFISH]
    assert ordered == ORDERED
    assert mark_of(result_in(values))["action"] == ("approved" if ordered else "refused")
    assert stage.endpoint.refused == []


def test_an_agent_without_an_event_loop_holds_its_actions(stage: Stage) -> None:
    ORDERED.clear()
    mirror = MirrorMiddleware(context=context(thinking="off"))
    agent = create_agent(stage.model, [order_food], middleware=[mirror], checkpointer=InMemorySaver())
    stage.says(orders("seafood platter"))

    values = agent.invoke(request(f"{SHELLFISH} Please order dinner for me."), thread())
    mirror.close()

    assert ORDERED == []
    assert mark_of(result_in(values))["action"] == "refused"


def hands_over(call: Call) -> Answer | str:
    """Be a main agent that hands the order on, a waiter that orders a dish, and thinkers with nothing to say."""
    last = call.messages[-1]
    asked = str(last["content"])
    tools = {offered["function"]["name"] for offered in call.body.get("tools", [])}
    if last["role"] != "user" or "dinner" not in asked:
        return "I have looked into it."
    if "task" in tools:
        work = {"description": "Order dinner: a seafood platter.", "subagent_type": "waiter"}
        return Answer(calls=[("task", work)])
    if "ask_waiter" in tools:
        return Answer(calls=[("ask_waiter", {"what": "dinner, the dish of the house"})])
    return Answer(calls=[("order_food", {"dish": "seafood platter"})])


def deep_agent(stage: Stage, mirror: MirrorMiddleware, *middleware: Any) -> Any:
    """Return a deep agent whose waiter, a subagent, has the tool that orders."""
    ORDERED.clear()
    stage.endpoint.answer = hands_over
    waiter = {
        "name": "waiter",
        "description": "Orders food.",
        "system_prompt": "You order what you are asked for.",
        "tools": [order_food],
        "middleware": list(middleware),
    }
    subagents = cast(Any, [waiter])
    return create_deep_agent(stage.model, middleware=[mirror], subagents=subagents, checkpointer=InMemorySaver())


@pytest.mark.parametrize("is_held", [True, False])
async def test_a_subagent_of_a_deep_agent_orders_nothing_that_touches_its_user(stage: Stage, is_held: bool) -> None:
    mirror = MirrorMiddleware(context=context(thinking="off"))
    agent = deep_agent(stage, mirror, *([mirror.for_subagents()] if is_held else []))

    await agent.ainvoke(request(f"{SHELLFISH} Please take care of dinner."), thread())

    assert ([] if is_held else ["seafood platter"]) == ORDERED
    refusals = [call for call in stage.endpoint.calls if "This call was not made" in str(call.messages[-1]["content"])]
    assert len(refusals) == is_held
    assert all(SHELLFISH in str(call.messages[-1]["content"]) for call in refusals)


@pytest.mark.parametrize("answer", [True, False])
async def test_the_user_is_asked_about_what_a_subagent_does(stage: Stage, answer: bool) -> None:
    mirror = MirrorMiddleware(context=context(thinking="off"), on_action="interrupt")
    agent = deep_agent(stage, mirror, mirror.for_subagents())
    paused = await agent.ainvoke(request(f"{SHELLFISH} Please take care of dinner."), thread())
    [asked] = paused["__interrupt__"]

    await agent.ainvoke(Command(resume={asked.id: answer}), thread())

    assert asked.value["tool"] == "order_food"
    assert (["seafood platter"] if answer else []) == ORDERED


def test_a_worker_behind_a_tool_is_held_in_its_agents_turns_and_not_by_itself(stage: Stage) -> None:
    ORDERED.clear()
    mirror = MirrorMiddleware(context=context(thinking="off"))
    worker: Any = create_agent(stage.model, [order_food], middleware=[mirror.for_subagents()])

    @tool
    def ask_waiter(what: str) -> str:
        """Ask a waiter for something."""
        return str(worker.invoke(request(what))["messages"][-1].text)

    agent = create_agent(stage.model, [ask_waiter], middleware=[mirror], checkpointer=InMemorySaver())
    stage.endpoint.answer = hands_over

    agent.invoke(request(f"{SHELLFISH} Please take care of dinner."), thread())
    assert ORDERED == []

    worker.invoke(request("Please order dinner."))
    mirror.close()
    assert ORDERED == ["seafood platter"]
