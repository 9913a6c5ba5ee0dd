"""The memory API: list, add, edit, retract, forget, export; nobody else's."""

from collections.abc import AsyncIterator

import httpx
import pytest

from mirror_graph import Mirror, MirrorContext, open_mirror
from mirror_graph.serve.app import create_app
from mirror_graph.serve.settings import ServeSettings
from tests.serving import client_of

ANA, BEN = "ana-key-0123456789abcdef", "ben-key-0123456789abcdef"
KEYS = ServeSettings(keys={ANA: "ana", BEN: "ben"})


@pytest.fixture
async def mirror() -> AsyncIterator[Mirror]:
    async with open_mirror(context=MirrorContext(talker_model="scripted:demo"), transcripts=True) as mirror:
        yield mirror


@pytest.fixture
async def ana(mirror: Mirror) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(create_app(mirror, settings=KEYS), authorization=f"Bearer {ANA}") as client:
        yield client


@pytest.fixture
async def ben(mirror: Mirror) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(create_app(mirror, settings=KEYS), authorization=f"Bearer {BEN}") as client:
        yield client


async def add(client: httpx.AsyncClient, about: str = "shellfish", **more: str) -> str:
    added = await client.post("/v1/me/constraints", json={"about": about, "kind": "allergy", **more})
    assert added.status_code == 201
    return str(added.json()["id"])


async def test_what_a_user_adds_applies_in_their_next_conversation(ana: httpx.AsyncClient, mirror: Mirror) -> None:
    await add(ana, severity="life-threatening")
    mind = await mirror.conversation("new", user_id="ana").mind()
    assert [constraint["about"] for constraint in mind.constraints] == ["shellfish"]


async def test_a_constraint_is_edited_retracted_and_forgotten(ana: httpx.AsyncClient) -> None:
    path = f"/v1/me/constraints/{await add(ana)}"
    edited = await ana.patch(path, json={"severity": "life-threatening"})
    assert (edited.status_code, edited.json()["severity"]) == (200, "life-threatening")
    assert (await ana.post(f"{path}/retract")).json()["status"] == "retracted"
    assert (await ana.get(path)).json()["status"] == "retracted"
    assert (await ana.delete(path)).status_code == 204
    assert (await ana.get("/v1/me/constraints")).json() == {"constraints": [], "evicted": 0}
    assert (await ana.get(path)).status_code == 404


async def test_everything_is_exported_and_forgotten(ana: httpx.AsyncClient) -> None:
    await add(ana)
    exported = (await ana.get("/v1/me/export")).json()
    assert (exported["user"], [known["about"] for known in exported["constraints"]]) == ("ana", ["shellfish"])
    assert (await ana.delete("/v1/me/constraints")).status_code == 204
    assert (await ana.get("/v1/me/export")).json()["constraints"] == []


async def test_a_constraint_says_which_message_it_comes_from(
    ana: httpx.AsyncClient, ben: httpx.AsyncClient, mirror: Mirror
) -> None:
    said = "Dinner for eight on Friday. I'm severely allergic to shellfish, by the way."
    conversation = mirror.conversation("dinner", user_id="ana")
    await conversation.say(said)
    await conversation.settle()
    [constraint] = (await ana.get("/v1/me/constraints")).json()["constraints"]
    why = (await ana.get(f"/v1/me/constraints/{constraint['id']}/why")).json()
    assert why["message"] == {"thread": "dinner", "turn": 1, "text": said}
    assert why["quote"] in said
    assert (await ben.get(f"/v1/me/constraints/{constraint['id']}/why")).status_code == 404
    history = (await ana.get("/v1/me/history", params={"thread": "dinner"})).json()
    assert history["narratives"][-1]["turn"] == 1


async def test_a_constraint_that_was_added_comes_from_no_message(ana: httpx.AsyncClient) -> None:
    why = (await ana.get(f"/v1/me/constraints/{await add(ana)}/why")).json()
    assert (why["quote"], why["message"]) == ("shellfish", None)


async def test_another_user_neither_sees_nor_changes_it(ana: httpx.AsyncClient, ben: httpx.AsyncClient) -> None:
    path = f"/v1/me/constraints/{await add(ana)}"
    assert (await ben.get("/v1/me/constraints")).json()["constraints"] == []
    refused = [
        await ben.get(path),
        await ben.patch(path, json={"about": "nothing"}),
        await ben.post(f"{path}/retract"),
        await ben.delete(path),
    ]
    assert [answer.status_code for answer in refused] == [404] * 4
    assert (await ana.get(path)).json()["status"] == "active"


@pytest.mark.parametrize("method", ["get", "delete", "patch"])
async def test_an_unknown_constraint_is_not_found(ana: httpx.AsyncClient, method: str) -> None:
    body = {"json": {"about": "x"}} if method == "patch" else {}
    answer = await ana.request(method, "/v1/me/constraints/none", **body)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_constraint")


async def test_a_full_list_has_no_room(ana: httpx.AsyncClient) -> None:
    for number in range(64):
        await add(ana, f"thing {number}", severity="life-threatening")
    answer = await ana.post("/v1/me/constraints", json={"about": "wool", "severity": "preference"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_room")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"about": ""},
        {"about": "two\nlines"},
        {"about": "x" * 10_000},
        {"about": "x", "kind": "curse"},
        {"about": "x", "severity": None},
        {"about": "x", "user": "ben"},
        {"about": ["x"]},
        "text",
    ],
)
async def test_what_is_no_constraint_is_refused(ana: httpx.AsyncClient, body: object) -> None:
    answer = await ana.post("/v1/me/constraints", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("changes", [{}, {"status": "provisional"}, {"about": "two\nlines"}, {"kind": None}])
async def test_a_change_that_is_none_is_refused(ana: httpx.AsyncClient, changes: object) -> None:
    path = f"/v1/me/constraints/{await add(ana)}"
    assert (await ana.patch(path, json=changes)).status_code == 422


async def test_a_body_that_is_no_text_and_a_path_that_is_none_get_errors_of_one_shape(ana: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    broken = await ana.post("/v1/me/constraints", content=b"\xff\x13", headers=headers)
    unknown = await ana.get("/v1/me/nothing")
    assert [answer.status_code for answer in (broken, unknown)] == [400, 404]
    assert all(answer.json()["error"]["message"] for answer in (broken, unknown))
