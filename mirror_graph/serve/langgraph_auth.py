"""Sign-in and authorization for LangGraph servers: everybody sees their own threads, and MIRROR alone writes minds.

`deploy/auth.py` serves it. Needs the extras `serve` and `server`.
"""

import hmac
import os
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from langgraph_sdk import Auth, get_client

from mirror_graph.encryption import Keyring
from mirror_graph.encryption.items import is_sealed_item, open_item
from mirror_graph.errors import ConfigurationError
from mirror_graph.ledger.access import ANONYMOUS
from mirror_graph.ledger.user_constraints import ROOT
from mirror_graph.scheduling import spending
from mirror_graph.scheduling.server import GRAPH, is_in_server, is_own_call, own_call
from mirror_graph.serve.client_context import ClientPolicy
from mirror_graph.serve.pace import (
    DEFAULT_PER_MINUTE,
    RETRY_AFTER,
    Pace,
    TooManyTurnsError,
    tokens_per_day,
    turns_per_minute,
)
from mirror_graph.serve.settings import read_keys
from mirror_graph.serve.tokens import KeysUnreachableError, TokenRefusedError, TokenSettings, TokenVerifier
from mirror_graph.state import MirrorContext
from mirror_graph.state.context import context_as_json
from mirror_graph.state.erasure import ForgetState

OWNER, KIND = "owner", "mirror"
CHAT, MIND = "chat", "mind"
"""What a thread's metadata says: whose it is, and whether a client may write to it."""

INPUT = frozenset({"messages", "k"})
"""What a client may hand to a run. Everything else of a thread's state is written by the graphs."""

FORGET_INPUT = frozenset(ForgetState.__annotations__)
"""What a client may ask the graph `forget` for: what it erases is found by who asks."""

COMMANDS = frozenset({"resume"})
"""What a client may command. `update` would write the state, and `goto` would skip what guards a reply."""

SYSTEM_ASSISTANTS = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""The namespace in which a LangGraph server, and Aegra, name the assistant of each graph."""

Value = dict[str, Any]
Refused = Auth.exceptions.HTTPException


@dataclass(frozen=True)
class AuthSettings:
    """Who may call, what they may choose, and how much they may spend."""

    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    tokens: TokenSettings | None = None
    policy: ClientPolicy = field(default_factory=ClientPolicy)
    turns_per_minute: int = DEFAULT_PER_MINUTE
    tokens_per_day: int | None = None

    def __post_init__(self) -> None:
        if not (self.keys or self.tokens):
            raise ConfigurationError(
                "no caller could sign in: set MIRROR_JWT_AUDIENCE with MIRROR_JWT_KEYS_URL or MIRROR_JWT_SECRET, or "
                "MIRROR_API_KEYS"
            )
        if ANONYMOUS in self.keys.values():
            raise ConfigurationError(f"an API key is of the user {ANONYMOUS!r}, which is no user: expected another id")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "AuthSettings":
        """Read the variables that docs/deployment.md lists."""
        keys = environment.get("MIRROR_API_KEYS")
        return cls(
            keys=read_keys(Path(keys)) if keys else {},
            tokens=TokenSettings.from_environment(environment),
            policy=ClientPolicy.from_environment(environment),
            turns_per_minute=turns_per_minute(environment),
            tokens_per_day=tokens_per_day(environment),
        )


def build_auth(settings: AuthSettings | None = None) -> Auth:
    """Return the sign-in and the rules of a LangGraph server, by default as the environment sets them.

    Raises `ConfigurationError` if no caller could sign in.
    """
    settings = settings or AuthSettings.from_environment()
    if settings.tokens_per_day is not None and not is_in_server():
        raise ConfigurationError(f"{spending.VARIABLE} is counted by LangGraph's server only: unset it")
    auth, rules = Auth(), _Rules(settings)
    verifier = TokenVerifier(settings.tokens) if settings.tokens else None

    @auth.authenticate
    async def authenticate(headers: Mapping[Any, Any]) -> Value:
        scheme, _, token = _authorization(headers).partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refused(401, "expected an API key or a token: Authorization: Bearer ...")
        user = _user_of_key(token.strip(), settings.keys)
        if user is None and verifier is not None:
            user = await _subject(verifier, token.strip())
        if user is None or user == ANONYMOUS:
            raise Refused(401, "the API key is not valid")
        return {"identity": user}

    @auth.on
    async def authorize(ctx: Auth.types.AuthContext, value: Value) -> Any:
        return await rules.answer(ctx, value)

    return auth


class _Rules:
    """What a signed-in user may do: a filter on threads, True, or False."""

    def __init__(self, settings: AuthSettings) -> None:
        self._policy = settings.policy
        self._pace = Pace(settings.turns_per_minute, settings.tokens_per_day, _spent)

    async def answer(self, ctx: Auth.types.AuthContext, value: Value) -> Value | bool:
        """Return the rule's answer. Whatever has no rule is refused: crons, and whatever a later server adds."""
        user_id = ctx.user.identity
        match ctx.resource, ctx.action:
            case "assistants", "read" | "search":
                # They cannot be written: an assistant has a context of its own, which would be a client's.
                return True
            case "threads", "read" | "search" | "delete":
                return {OWNER: user_id}
            case "threads", "create" | "update":
                return _write(user_id, value)
            case "threads", "create_run":
                if not is_own_call():
                    _check_run(value, self._policy)
                    await self._count_turn(user_id)
                # Aegra, whose requests have no `kwargs`, keeps users apart itself, and takes what was changed only
                # from a handler without a filter.
                return _write(user_id, value) if "kwargs" in value else True
            case "store", _:
                return is_own_call() or _is_own_place(user_id, value)
        return False

    async def _count_turn(self, user_id: str) -> None:
        try:
            await self._pace.check(user_id)
        except TooManyTurnsError as error:
            raise Refused(429, str(error), RETRY_AFTER) from error


def _is_own_place(user_id: str, value: Value) -> bool:
    """Say whether a place in the store is a user's: it begins with their id. An id may not be the name of ours."""
    namespace = tuple(value.get("namespace") or value.get("namespace_prefix") or ())
    return bool(namespace) and namespace[0] == user_id != ROOT


def _write(user_id: str, value: Value) -> Value:
    """Stamp whose a thread is, and return the filter of what may be written: a client's own chats, and no mind."""
    metadata = value.get("metadata")
    if metadata is None:
        metadata = value["metadata"] = {}
    kind = MIND if is_own_call() else CHAT
    # In place: a server keeps its own reference to the metadata.
    metadata.update({OWNER: user_id, KIND: kind})
    return {OWNER: user_id, KIND: kind}


def _check_run(value: Value, policy: ClientPolicy) -> None:
    """Raise the answer 422 or 403 for a run that a client may not ask for; put the server's choices in its context."""
    if "method" in value:
        # Aegra checks a command of its event protocol like a run, and then makes the run from the unchecked request.
        raise Refused(403, "this server takes no commands: make a run with POST /threads/{thread_id}/runs")
    if _is_of(value, GRAPH):
        raise Refused(403, f"the graph {GRAPH!r} is run by the server only: expected another assistant")
    asked = value.get("kwargs", value)
    if asked.get("webhook"):
        raise Refused(403, "this server calls no webhooks: leave `webhook` out")
    _check_input(asked.get("input"), FORGET_INPUT if _is_of(value, "forget") else INPUT)
    _check_command(asked.get("command"))
    _choose_context(asked, policy, is_aegras=asked is value)


def _check_input(given: object, taken: Set[str]) -> None:
    """Raise the answer 422 for an input that writes more of a thread's state than a run takes."""
    if given is not None and (not isinstance(given, dict) or given.keys() - taken):
        raise Refused(422, f"a run takes {' and '.join(sorted(taken))}, and nothing else of a thread's state")


def _check_command(command: Mapping[str, Any] | None) -> None:
    """Raise the answer 403 for a command that does more than resume a run."""
    if command and {name for name, part in command.items() if part} - COMMANDS:
        raise Refused(403, "a client may command `resume` only")


def _choose_context(asked: Value, policy: ClientPolicy, *, is_aegras: bool) -> None:
    """Put the server's choices in the context of a run. Raise the answer 422 for a client's that is not valid."""
    wanted = asked.get("context") or (_configurable(asked) if is_aegras else {})
    try:
        context = policy.apply(wanted)
    except ConfigurationError as error:
        raise Refused(422, str(error)) from error
    # Whole, and so never empty: in the place of an empty one, Aegra takes what `config.configurable` holds, unchecked.
    asked["context"] = context_as_json(MirrorContext(**context)) if is_aegras else context


def _is_of(value: Value, graph: str) -> bool:
    """Say whether a run is one of a graph. Aegra hands over the assistant as the client named it: by id or by graph."""
    return str(value.get("assistant_id")) in (graph, str(uuid5(SYSTEM_ASSISTANTS, graph)))


def _configurable(asked: Value) -> Value:
    """Return what a server takes for a context if a client sends none."""
    config = asked.get("config")
    found = config.get("configurable") if isinstance(config, dict) else None
    return found if isinstance(found, dict) else {}


async def _spent(user_id: str) -> int:
    """Return what a user has spent today."""
    place = spending.spent_place(user_id)
    with own_call():
        found = await get_client().store.search_items(place, limit=spending.THREADS)
    values: list[Mapping[str, Any]] = []
    for item in found["items"]:
        value = item["value"]
        is_sealed = is_sealed_item(value)
        values.append(open_item(Keyring.chosen(None), value, place, item["key"]) if is_sealed else value)
    return spending.spent_today(values)


def _authorization(headers: Mapping[Any, Any]) -> str:
    """Return the header, whose name and value are bytes on LangGraph's server and text on Aegra."""
    found = headers.get(b"authorization", headers.get("authorization", ""))
    return found.decode("latin-1") if isinstance(found, bytes) else str(found)


def _user_of_key(token: str, keys: Mapping[str, str]) -> str | None:
    """Return whose API key a token is. Every key is compared, so that the time says nothing about any."""
    users = [user for key, user in keys.items() if hmac.compare_digest(key.encode(), token.encode())]
    return users[0] if users else None


async def _subject(verifier: TokenVerifier, token: str) -> str:
    try:
        return await verifier.subject(token)
    except TokenRefusedError as error:
        raise Refused(401, str(error)) from error
    except KeysUnreachableError as error:
        raise Refused(503, str(error)) from error
