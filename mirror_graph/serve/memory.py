"""The memory API: users see and change what is known of them. Whose it is, the sign-in says, never the path."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from mirror_graph.errors import ConfigurationError, UnknownConstraintError
from mirror_graph.host import ConstraintChanges, Mirror, User
from mirror_graph.ledger.assertion import ABOUT_LIMIT, SUBJECT_LIMIT
from mirror_graph.serve.errors import documented
from mirror_graph.serve.identity import HostMirror, UserId
from mirror_graph.state import Kind, Narrative, SafetyConstraint, Severity
from mirror_graph.state.content import readable


class ConstraintList(TypedDict):
    """A user's constraints, retracted ones too, and how many a full list had no room for."""

    constraints: list[SafetyConstraint]
    evicted: int


class NewConstraint(BaseModel):
    """A constraint in the user's own words."""

    model_config = ConfigDict(extra="forbid")

    about: Annotated[str, Field(min_length=1, max_length=ABOUT_LIMIT)]
    kind: Kind = "other"
    severity: Severity = "serious"
    subject: Annotated[str, Field(min_length=1, max_length=SUBJECT_LIMIT)] = "user"


class Export(TypedDict):
    """Everything that is known of a user, to take away."""

    version: int
    user: str
    constraints: list[SafetyConstraint]


class Origin(TypedDict):
    """The message that a constraint comes from."""

    thread: str
    turn: int
    text: str


class Why(TypedDict):
    """Why a constraint is in the list: the user's own words, and the whole message that they stand in.

    There is no message if the user added or changed the constraint themselves, if it has been erased, and if it lies
    further back than is searched.
    """

    constraint: SafetyConstraint
    quote: str
    message: Origin | None


class History(TypedDict):
    """The last narratives of a conversation, oldest first."""

    thread: str
    narratives: list[Narrative]


CONVERSATIONS_SEARCHED = 50
"""How many of a user's conversations are searched for a message, the latest first."""

router = APIRouter(prefix="/v1/me", tags=["memory"], responses=documented(401, 422, 503))


def _user(mirror: HostMirror, user_id: UserId) -> User:
    return mirror.user(user_id)


Caller = Annotated[User, Depends(_user)]


@router.get("/constraints")
async def list_constraints(user: Caller) -> ConstraintList:
    """List all constraints, including retracted ones."""
    return {"constraints": await user.constraints(), "evicted": await user.evicted()}


@router.post("/constraints", status_code=201, responses=documented(400, 409))
async def add_constraint(user: Caller, new: NewConstraint) -> SafetyConstraint:
    """Add a constraint. It applies in all conversations of the user."""
    return await user.add(new.about, kind=new.kind, severity=new.severity, subject=new.subject)


@router.delete("/constraints", status_code=204)
async def forget_all(user: Caller) -> Response:
    """Erase all constraints. A conversation that continues shares again what it knows."""
    await user.forget()
    return Response(status_code=204)


@router.get("/constraints/{constraint_id}", responses=documented(404))
async def show_constraint(user: Caller, constraint_id: str) -> SafetyConstraint:
    """Show one constraint."""
    return await _find(user, constraint_id)


@router.get("/constraints/{constraint_id}/why", responses=documented(404))
async def explain_constraint(mirror: HostMirror, user_id: UserId, user: Caller, constraint_id: str) -> Why:
    """Show the message that a constraint comes from."""
    constraint = await _find(user, constraint_id)
    quote = constraint["source"]["quote"]
    return {"constraint": constraint, "quote": quote, "message": await _origin(mirror, user_id, constraint)}


@router.patch("/constraints/{constraint_id}", responses=documented(400, 404, 409))
async def edit_constraint(user: Caller, constraint_id: str, changes: ConstraintChanges) -> SafetyConstraint:
    """Change a constraint. No conversation overrides the change."""
    if not changes:
        raise ConfigurationError("nothing to change: expected one or more of about, kind, severity, subject, status")
    return await user.edit(constraint_id, **changes)


@router.post("/constraints/{constraint_id}/retract", responses=documented(404, 409))
async def retract_constraint(user: Caller, constraint_id: str) -> SafetyConstraint:
    """Say that a constraint applies no more. It stays in the list as retracted."""
    return await user.edit(constraint_id, status="retracted")


@router.delete("/constraints/{constraint_id}", status_code=204, responses=documented(404))
async def forget_constraint(user: Caller, constraint_id: str) -> Response:
    """Erase a constraint in every conversation, from its next turn on."""
    await _find(user, constraint_id)
    await user.forget(constraint_id)
    return Response(status_code=204)


@router.get("/export")
async def export(user: Caller, response: Response) -> Export:
    """Export all constraints."""
    response.headers["Content-Disposition"] = 'attachment; filename="constraints.json"'
    return _EXPORT.validate_json(await user.export())


@router.get("/history")
async def show_history(mirror: HostMirror, user_id: UserId, thread: Annotated[str, Query(max_length=1_000)]) -> History:
    """Show the last narratives of a conversation, empty for one that nothing has been thought about."""
    return {"thread": thread, "narratives": await mirror.conversation(thread, user_id=user_id).history()}


_EXPORT = TypeAdapter(Export)


async def _find(user: User, constraint_id: str) -> SafetyConstraint:
    for constraint in await user.constraints():
        if constraint["id"] == constraint_id:
            return constraint
    raise UnknownConstraintError(constraint_id)


async def _origin(mirror: Mirror, user_id: str, constraint: SafetyConstraint) -> Origin | None:
    """Look for a constraint's message in the user's conversations, the latest first."""
    source = constraint["source"]
    if not source["message"]:
        return None
    for known in (await mirror.conversations(user_id))[:CONVERSATIONS_SEARCHED]:
        for message in await mirror.conversation(known.name, user_id=user_id).transcript():
            if message.id == source["message"]:
                return {"thread": known.name, "turn": source["turn"], "text": readable(message)}
    return None
