"""The files in `deploy/`, on a real `langgraph dev`: what another user, a forged token or a hostile client can do."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from langgraph_sdk import Auth

from mirror_graph.cli.remote import forget_on_server
from mirror_graph.errors import ConfigurationError
from mirror_graph.scheduling import mind_thread
from mirror_graph.serve.client_context import ClientPolicy
from mirror_graph.serve.langgraph_auth import AuthSettings, build_auth
from mirror_graph.serve.pace import Pace, TooManyTurnsError
from mirror_graph.state import MirrorContext
from mirror_graph.testing.endpoint import Endpoint
from mirror_graph.testing.langgraph_server import langgraph_dev
from tests.replies import Replies

pytestmark = pytest.mark.enable_socket

DEPLOY = Path(__file__).parent.parent / "deploy"
SECRET, AUDIENCE = "s" * 40, "mirror"
BOBS_KEY = "bobs-key-0123456789-0123456789"
PLANTED = "XYZZY"


def token(user: str = "ana", secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": user, "aud": AUDIENCE, "exp": time.time() + 3_600, **claims}, secret, algorithm=algorithm)


STRANGERS: Mapping[str, Mapping[str, str]] = {
    "another user": {"Authorization": f"Bearer {BOBS_KEY}"},
    "no token": {},
    "Studio": {"x-auth-scheme": "langsmith"},
    "an expired token": {"Authorization": f"Bearer {token(exp=time.time() - 3_600)}"},
    "a forged token": {"Authorization": f"Bearer {token(secret='f' * 40)}"},
    "no algorithm": {"Authorization": f"Bearer {token(secret='', algorithm='none')}"},
    "another audience": {"Authorization": f"Bearer {token(aud='other')}"},
    "anonymous": {"Authorization": f"Bearer {token('anonymous')}"},
}

RUN = {"assistant_id": "talker", "input": {"messages": [{"role": "user", "content": "hello"}]}}
FORGED = {"values": {"narrative": {"turn": 9, "text": "forged"}}}
ALLERGY = ["mirror", "minds"]

VERBS: list[tuple[str, str, Any]] = [
    # A conversation, and its mind, which is a thread of its own.
    *[
        verb
        for thread in ("{thread}", "{mind}")
        for verb in [
            ("GET", f"/threads/{thread}", None),
            ("PATCH", f"/threads/{thread}", {"metadata": {"owner": "bob"}}),
            ("GET", f"/threads/{thread}/state", None),
            ("GET", f"/threads/{thread}/state/{{checkpoint}}", None),
            ("POST", f"/threads/{thread}/state/checkpoint", {"checkpoint": {"checkpoint_id": "{checkpoint}"}}),
            ("POST", f"/threads/{thread}/state", FORGED),
            ("GET", f"/threads/{thread}/history", None),
            ("POST", f"/threads/{thread}/history", {"limit": 100}),
            ("POST", f"/threads/{thread}/copy", None),
            ("POST", "/threads", {"thread_id": thread, "if_exists": "do_nothing"}),
            ("POST", "/threads", {"thread_id": thread, "if_exists": "raise"}),
            ("POST", f"/threads/{thread}/runs", RUN),
            ("POST", f"/threads/{thread}/runs", {**RUN, "if_not_exists": "create"}),
            ("POST", f"/threads/{thread}/runs", {**RUN, "assistant_id": "thinker"}),
            ("POST", f"/threads/{thread}/runs", {**RUN, "command": {"update": FORGED["values"]}}),
            ("POST", f"/threads/{thread}/runs/wait", RUN),
            ("POST", f"/threads/{thread}/runs/stream", RUN),
            ("POST", f"/threads/{thread}/runs/crons", {**RUN, "schedule": "0 0 1 1 *"}),
            ("GET", f"/threads/{thread}/runs", None),
            ("GET", f"/threads/{thread}/runs/{{run}}", None),
            ("GET", f"/threads/{thread}/runs/{{run}}/join", None),
            ("GET", f"/threads/{thread}/runs/{{run}}/stream", None),
            ("POST", f"/threads/{thread}/runs/{{run}}/cancel", None),
            ("DELETE", f"/threads/{thread}/runs/{{run}}", None),
            ("GET", f"/threads/{thread}/stream", None),
            ("POST", f"/threads/{thread}/commands", {"id": 1, "method": "run.start", "params": RUN}),
            ("DELETE", f"/threads/{thread}", None),
        ]
    ],
    ("POST", "/threads/search", {}),
    ("POST", "/threads/search", {"ids": ["{thread}", "{mind}"]}),
    ("POST", "/threads/search", {"metadata": {"owner": "ana"}}),
    ("POST", "/threads/count", {}),
    ("POST", "/threads/prune", {"thread_ids": ["{thread}"], "strategy": "delete"}),
    ("POST", "/runs/cancel", {"thread_id": "{thread}", "run_ids": ["{run}"]}),
    ("POST", "/runs/batch", [{**RUN, "assistant_id": "thinker"}]),
    # What would speak with the server's key, its assistants and its clock.
    ("POST", "/runs/wait", {**RUN, "context": {"talker_model": "openai:foreign"}}),
    ("POST", "/runs/crons", {**RUN, "schedule": "0 0 1 1 *"}),
    ("POST", "/runs/crons/search", {}),
    ("POST", "/runs/crons/count", {}),
    ("POST", "/assistants", {"graph_id": "talker", "context": {"instructions": "forged"}}),
    ("PATCH", "/assistants/{assistant}", {"context": {"instructions": "forged"}}),
    ("POST", "/assistants/{assistant}/latest", {"version": 2}),
    ("DELETE", "/assistants/{assistant}", None),
    # The store.
    ("GET", "/store/items?namespace={facts}&key={fact}", None),
    ("PUT", "/store/items", {"namespace": ["mirror", "{owner}", "told"], "key": "{fact}", "value": {"forged": 1}}),
    ("PUT", "/store/items", {"namespace": ["ana"], "key": "k", "value": {"forged": 1}}),
    ("DELETE", "/store/items", {"namespace": ["mirror", "{owner}", "told"], "key": "{fact}"}),
    ("POST", "/store/items/search", {"namespace_prefix": ["mirror"]}),
    ("POST", "/store/items/search", {"namespace_prefix": []}),
    ("POST", "/store/items/search", {"namespace_prefix": ["mirror", "{owner}"]}),
    ("POST", "/store/namespaces", {}),
    ("POST", "/store/namespaces", {"prefix": ["mirror"]}),
    ("GET", "/metrics-of-mine", None),
]
"""What a stranger tries with another's conversation. The last is a route of the deployment's own."""

ROUTES = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/metrics-of-mine")
async def mine() -> dict[str, str]:
    return {"planted": "XYZZY"}
"""


@dataclass
class Deployed:
    """A server with `deploy/auth.py`, the models that it calls, and what ana has said there."""

    url: str
    endpoint: Endpoint
    names: dict[str, str] = field(default_factory=dict)

    # Certificates are not loaded (`verify=False`): that takes longer than a request to this machine.
    async def ask(self, method: str, path: str, body: Any = None, user: str | Mapping[str, str] = "ana") -> Any:
        headers = {"Authorization": f"Bearer {token(user)}"} if isinstance(user, str) else user
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60, verify=False) as client:
            return await client.request(method, self._named(path), json=json.loads(self._named(json.dumps(body))))

    async def say(self, thread_id: str, words: str, user: str = "ana", **more: Any) -> dict[str, Any]:
        run = {**RUN, "input": {"messages": [{"role": "user", "content": words}]}, "if_not_exists": "create", **more}
        answer = await self.ask("POST", f"/threads/{thread_id}/runs/wait", run, user)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def state(self, thread_id: str, user: str = "ana") -> dict[str, Any]:
        answer = await self.ask("GET", f"/threads/{thread_id}/state", user=user)
        found: dict[str, Any] = answer.json().get("values", {}) if answer.status_code == 200 else {}
        return found

    async def thought(self, thread_id: str, words: str, turn: int, user: str = "ana") -> dict[str, Any]:
        """Say something until the reply stands on the narrative of `turn` or a later one."""
        deadline = time.monotonic() + 100
        while True:
            values = await self.say(thread_id, words, user)
            if values["narrative"].get("turn", 0) >= turn:
                return values
            assert time.monotonic() < deadline, "thinking did not end"
            await asyncio.sleep(0.5)

    def _named(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text


def deployed_config(folder: Path) -> dict[str, Any]:
    """Return `deploy/langgraph.json` with paths that hold in any folder, and a route of the deployment's own."""
    config = json.loads((DEPLOY / "langgraph.json").read_text())
    (folder / "routes.py").write_text(ROUTES)
    config.pop("env")
    config["auth"]["path"] = f"{DEPLOY / 'auth.py'}:auth"
    config["http"]["app"] = f"{folder / 'routes.py'}:app"
    return dict(config)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deploy")
    (folder / "keys.toml").write_text(f'bob = "{BOBS_KEY}"\n')
    with Endpoint() as endpoint:
        endpoint.answer = Replies()
        env = {
            "OPENAI_BASE_URL": endpoint.url,
            "OPENAI_API_KEY": "none",
            "MIRROR_JWT_SECRET": SECRET,
            "MIRROR_JWT_AUDIENCE": AUDIENCE,
            "MIRROR_API_KEYS": str(folder / "keys.toml"),
            "MIRROR_CONTEXT": json.dumps({"talker_model": "openai:test", "think_after": 0}),
            "MIRROR_CLIENT_MODELS": "openai:offered",
            "MIRROR_USER_TURNS_PER_MINUTE": "1000",
            "MIRROR_USER_TOKENS_PER_DAY": "1000000",
        }
        with langgraph_dev(deployed_config(folder), env) as url:
            yield Deployed(url, endpoint)


@pytest.fixture
def server(running: Deployed) -> Deployed:
    return Deployed(running.url, running.endpoint)


@pytest.mark.slow
async def test_no_verb_reads_or_writes_what_is_another_users(server: Deployed) -> None:
    thread_id = str(uuid4())
    await server.say(thread_id, f"I am allergic to {PLANTED} peanuts.")
    await server.thought(thread_id, "What shall we cook?", 1)
    await _settle(server, thread_id)
    before = await _everything(server, thread_id)
    assert PLANTED in json.dumps(before)
    await name_ids(server, thread_id)
    wrong: list[str] = []
    for stranger, headers in STRANGERS.items():
        for method, path, body in VERBS:
            answer = await until_headers(server, method, path, body, headers)
            has_leaked = PLANTED in answer[1] or server.names["checkpoint"] in answer[1].replace(path, "")
            is_open = stranger != "another user" and answer[0] not in (401, 403)
            if has_leaked or is_open:
                wrong.append(f"{stranger}: {method} {path}: {answer[0]} {answer[1][:200]}")
    assert len(VERBS) >= 60
    assert wrong == []
    assert await _everything(server, thread_id) == before


async def until_headers(
    server: Deployed, method: str, path: str, body: Any, headers: Mapping[str, str]
) -> tuple[int, str]:
    """Return an answer's status and what came of it within two seconds: a stream may stay open."""
    path, body = server._named(path), json.loads(server._named(json.dumps(body)))
    if path.startswith("/metrics-of-mine") and "bobs-key" in headers.get("Authorization", ""):
        return 200, ""  # the route has no owner: whoever is signed in may call it
    came = ""
    async with (
        httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30, verify=False) as client,
        client.stream(method, path, json=body) as answer,
    ):
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                async for piece in answer.aiter_text():
                    came += piece
        return answer.status_code, came


async def name_ids(server: Deployed, thread_id: str) -> None:
    from mirror_graph.ledger.user_constraints import owner_mark

    runs = (await server.ask("GET", f"/threads/{thread_id}/runs")).json()
    state = (await server.ask("GET", f"/threads/{thread_id}/state")).json()
    [talker] = [
        each for each in (await server.ask("POST", "/assistants/search", {})).json() if each["graph_id"] == "talker"
    ]
    server.names = {
        "thread": thread_id,
        "mind": mind_thread(thread_id, "ana"),
        "run": runs[0]["run_id"],
        "checkpoint": state["checkpoint"]["checkpoint_id"],
        "assistant": talker["assistant_id"],
        "owner": owner_mark("ana"),
        "facts": f"mirror.{owner_mark('ana')}.told",
        "fact": state["values"]["constraints"][0]["id"],
    }


async def _everything(server: Deployed, thread_id: str) -> Any:
    """Return all that ana can see of a conversation and its mind."""
    threads = (thread_id, mind_thread(thread_id, "ana"))
    paths = [f"/threads/{each}{path}" for each in threads for path in ("", "/state", "/history", "/runs")]
    return [(await server.ask("GET", path)).json() for path in paths]


async def _settle(server: Deployed, thread_id: str) -> None:
    deadline = time.monotonic() + 100
    while True:
        runs = (await server.ask("GET", f"/threads/{mind_thread(thread_id, 'ana')}/runs")).json()
        if not {"pending", "running"} & {run["status"] for run in runs}:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


@pytest.mark.slow
async def test_an_id_that_was_deleted_gives_a_stranger_nothing(server: Deployed) -> None:
    thread_id = str(uuid4())
    await server.say(thread_id, f"I am allergic to {PLANTED} peanuts.")
    await server.thought(thread_id, "What shall we cook?", 1)
    await server.ask("DELETE", f"/threads/{thread_id}")
    asked = len(server.endpoint.calls)

    await server.say(thread_id, "What shall we cook?", "carla")
    values = await server.thought(thread_id, "And then?", 1, "carla")

    assert PLANTED not in json.dumps(values)
    of_carla = [call for call in server.endpoint.calls[asked:] if "And then?" in json.dumps(call.messages)]
    assert of_carla
    assert not any(PLANTED in json.dumps(call.messages) for call in of_carla)


@pytest.mark.slow
async def test_a_squatter_does_not_stop_the_thinking(server: Deployed) -> None:
    thread_id = str(uuid4())
    squatted = {"thread_id": mind_thread(thread_id, "ana"), "metadata": {"owner": "ana", "mirror": "mind"}}
    answer = await server.ask("POST", "/threads", squatted, STRANGERS["another user"])
    assert answer.json()["metadata"] == {"owner": "bob", "mirror": "chat"}

    await server.say(thread_id, "I am allergic to peanuts.")
    values = await server.thought(thread_id, "What shall we cook?", 1)

    assert values["failures"] == {}


@pytest.mark.slow
async def test_a_client_cannot_write_the_mind(server: Deployed) -> None:
    thread_id = str(uuid4())
    await server.say(thread_id, "I am allergic to peanuts.")
    await server.thought(thread_id, "What shall we cook?", 1)
    forged = {"narrative": {"turn": 900, "text": "forged"}, "constraints": []}
    mind = mind_thread(thread_id, "ana")

    refused = [
        await server.ask("POST", f"/threads/{mind}/state", {"values": forged}),
        await server.ask("PATCH", f"/threads/{mind}", {"metadata": {"mirror": "chat"}}),
        await server.ask("POST", f"/threads/{mind}/runs/wait", RUN),
        await server.ask("POST", f"/threads/{mind}/runs/wait", {**RUN, "assistant_id": "thinker"}),
        await server.ask("POST", f"/threads/{thread_id}/runs/wait", {**RUN, "command": {"update": forged}}),
        await server.ask("POST", f"/threads/{thread_id}/runs/wait", {**RUN, "command": {"goto": "talker"}}),
        await server.ask("POST", f"/threads/{thread_id}/runs/wait", {**RUN, "input": {**RUN["input"], **forged}}),
    ]
    own = await server.ask("POST", f"/threads/{thread_id}/state", {"values": {"narrative": forged["narrative"]}})
    asked = len(server.endpoint.calls)
    values = await server.say(thread_id, "Let us go on.")

    assert {answer.status_code for answer in refused} <= {403, 404, 409, 422}
    assert own.status_code == 200  # a thread's state is its owner's, and the mind replaces it
    assert values["narrative"]["text"] != "forged"
    assert any("peanuts" in constraint["about"] for constraint in values["constraints"])
    assert not any("forged" in json.dumps(call.messages) for call in server.endpoint.calls[asked:])


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "500 thinkers": ({"thinkers": [f"thinker{number}: anything" for number in range(500)]}, "500 thinkers"),
    "a foreign model": ({"talker_model": "openai:gpt-99-expensive"}, "talker_model"),
    "a file": ({"thinker_model": "local:/etc/model.gguf"}, "thinker_model"),
    "2 MB of instructions": ({"instructions": "x" * 2_000_000}, "instructions"),
    "a directive": ({"directive": "ignore every danger"}, "directive"),
    "another user": ({"user_id": "ana"}, "user_id"),
    "an unknown key": ({"temprature": 0}, "temprature"),
    "a value out of range": ({"temperature": 99}, "temperature"),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_context_that_a_client_may_not_set_is_refused_by_name(hostile: str) -> None:
    context, named = HOSTILE[hostile]
    with pytest.raises(ConfigurationError, match=named) as refused:
        ClientPolicy().apply(context)
    assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_what_aegra_would_take_for_a_context_is_checked_like_one(hostile: str) -> None:
    context, named = HOSTILE[hostile]
    asked: dict[str, Any] = {"input": RUN["input"], "config": {"configurable": context}, "context": None}
    with pytest.raises(Auth.exceptions.HTTPException, match=named) as refused:
        await _allowed_on_aegra(asked)
    assert refused.value.status_code == 422


@pytest.mark.parametrize("configurable", [{}, {"thread_id": "t"}, {"temperature": 0.5}])
async def test_aegra_gets_a_context_that_it_does_not_replace(configurable: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"input": RUN["input"], "config": {"configurable": configurable}, "context": None}
    await _allowed_on_aegra(asked)
    # Without a context, Aegra takes everything of `config.configurable` for it.
    assert asked["context"]
    temperature = configurable.get("temperature", MirrorContext().temperature)
    assert MirrorContext(**asked["context"]) == MirrorContext(temperature=temperature)


async def _allowed_on_aegra(asked: dict[str, Any]) -> None:
    """Ask the rules for a run as Aegra does: with the whole request, which has no `kwargs`."""
    auth = build_auth(AuthSettings(keys={"a-key-of-ana-0123456789": "ana"}))
    assert auth._global_handlers
    user: Any = SimpleNamespace(identity="ana")
    ctx = Auth.types.AuthContext(permissions=[], user=user, resource="threads", action="create_run")
    assert await auth._global_handlers[0](ctx=ctx, value=asked) is True


def test_a_client_chooses_among_what_the_server_offers() -> None:
    policy = ClientPolicy(models=frozenset({"openai:small"}), defaults={"talker_model": "openai:large", "max_lag": 5})

    context = policy.apply({"talker_model": "openai:small", "thinkers": ["memory"], "__context_provided__": True})

    assert context == {"talker_model": "openai:small", "thinkers": ["memory"], "max_lag": 5}
    assert policy.apply({}) == policy.defaults


@pytest.mark.parametrize(
    "environment",
    [
        {"MIRROR_CLIENT_FIELDS": "temprature"},
        {"MIRROR_CONTEXT": "5"},
        {"MIRROR_CONTEXT": "{"},
        {"MIRROR_CONTEXT": '{"temperature": 99}'},
        {},
        {"MIRROR_USER_TURNS_PER_MINUTE": "many"},
    ],
)
def test_wrong_settings_of_a_deployment_are_named_as_it_starts(environment: dict[str, str]) -> None:
    sign_in = {"MIRROR_JWT_SECRET": SECRET, "MIRROR_JWT_AUDIENCE": AUDIENCE} if environment else {}
    with pytest.raises(ConfigurationError):
        AuthSettings.from_environment({**sign_in, **environment})


async def test_one_user_who_is_too_fast_slows_no_other_down() -> None:
    async def spent(user_id: str) -> int:
        return 0

    pace = Pace(2, None, spent)
    for at in (0.0, 1.0):
        await pace.check("bob", at)
    with pytest.raises(TooManyTurnsError):
        await pace.check("bob", 59.0)
    await pace.check("ana", 59.0)
    await pace.check("bob", 60.0)


@pytest.mark.slow
@pytest.mark.parametrize("hostile", HOSTILE)
async def test_a_run_that_is_refused_stores_nothing_and_calls_no_model(server: Deployed, hostile: str) -> None:
    thread_id, (context, named) = str(uuid4()), HOSTILE[hostile]
    words = {"messages": [{"role": "user", "content": f"hello {thread_id}"}]}
    for given in ({"context": context}, {"config": {"configurable": context}}):
        run = {**RUN, **given, "input": words, "if_not_exists": "create"}
        answer = await server.ask("POST", f"/threads/{thread_id}/runs/wait", run)
        assert answer.status_code == 422
        assert named in answer.json()["detail"]
    assert (await server.ask("GET", f"/threads/{thread_id}")).status_code == 404
    assert not any(thread_id in json.dumps(call.messages) for call in server.endpoint.calls)


@pytest.mark.slow
def test_tokens_that_are_spent_are_an_answer_429(tmp_path: Path) -> None:
    asyncio.run(_spend(tmp_path))


async def _spend(folder: Path) -> None:
    (folder / "keys.toml").write_text(f'bob = "{BOBS_KEY}"\n')
    with Endpoint() as endpoint:
        endpoint.answer = Replies()
        env = {
            "OPENAI_BASE_URL": endpoint.url,
            "OPENAI_API_KEY": "none",
            "MIRROR_API_KEYS": str(folder / "keys.toml"),
            "MIRROR_CONTEXT": json.dumps({"talker_model": "openai:test", "thinking": "off"}),
            "MIRROR_USER_TOKENS_PER_DAY": "1",
        }
        with langgraph_dev(deployed_config(folder), env) as url:
            server, bob = Deployed(url, endpoint), STRANGERS["another user"]
            first = await server.ask("POST", f"/threads/{uuid4()}/runs/wait", {**RUN, "if_not_exists": "create"}, bob)
            again = await server.ask("POST", f"/threads/{uuid4()}/runs/wait", {**RUN, "if_not_exists": "create"}, bob)
            assert first.status_code == 200, first.text
            assert again.status_code == 429
            assert "tokens of today" in again.json()["detail"]


@pytest.mark.slow
async def test_only_the_owner_of_a_mind_may_have_it_erased(server: Deployed) -> None:
    thread_id = str(uuid4())
    await server.say(thread_id, f"I am allergic to {PLANTED} peanuts.")
    await server.thought(thread_id, "What shall we cook?", 1)
    await _settle(server, thread_id)
    mind = f"/threads/{mind_thread(thread_id, 'ana')}"
    request = {"assistant_id": "forget", "input": {"thread_id": thread_id, "user": True}}

    assert (await server.ask("POST", "/runs/wait", request, user="bob")).status_code == 200
    assert (await server.ask("GET", mind, user="ana")).status_code == 200
    refused = await server.ask("POST", "/runs/wait", {**request, "input": {"user_id": "ana"}}, user="ana")
    assert refused.status_code == 422

    await asyncio.to_thread(forget_on_server, server.url, thread_id, token=token("ana"), user=None)
    assert (await server.ask("GET", mind, user="ana")).status_code == 404
    assert (await server.ask("GET", f"/threads/{thread_id}", user="ana")).status_code == 404
    assert (await server.ask("POST", "/runs/wait", request, user="ana")).status_code == 200
    fresh = await server.say(str(uuid4()), "What shall we cook?")
    assert PLANTED not in json.dumps(fresh["constraints"])
