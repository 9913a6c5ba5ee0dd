"""`mirror mcp`: a user's ledger as tools for an agent that has a model of its own. It carries no mind."""

from mcp.server.fastmcp import FastMCP
from mcp.types import ToolAnnotations
from typing_extensions import TypedDict

from mirror_graph.host import Mirror, open_mirror
from mirror_graph.relevance import relevant
from mirror_graph.state import Kind, SafetyConstraint, Severity
from mirror_graph.state.constraints import active

INSTRUCTIONS = """\
The safety constraints of one user: allergies, phobias, traumas, physical limits and others, in their own words. They \
apply in all of the user's conversations.

Read the ledger before you answer or act, and check each request with check_request. Add what the user states of \
themselves, and retract only what the user says does not apply any more.

This server carries no mind: it neither thinks between turns nor holds your replies to the ledger. For that, talk to \
`mirror serve`, or put MirrorMiddleware around the agent."""

LEDGER = "mirror://ledger"

_READS = ToolAnnotations(readOnlyHint=True, openWorldHint=False)
_WRITES = ToolAnnotations(readOnlyHint=False, destructiveHint=False, idempotentHint=True, openWorldHint=False)


class ConstraintList(TypedDict):
    """Constraints, the most important first."""

    constraints: list[SafetyConstraint]


class OneConstraint(TypedDict):
    """A constraint as it is stored now."""

    constraint: SafetyConstraint


def ledger_server(mirror: Mirror, user_id: str) -> FastMCP:
    """Return an MCP server of four tools and one resource over the ledger of `user_id`."""
    server = FastMCP("mirror", instructions=INSTRUCTIONS)
    user = mirror.user(user_id)

    @server.tool(annotations=_READS)
    async def list_constraints() -> ConstraintList:
        """List the user's safety constraints that apply now, each with its quote."""
        return {"constraints": active(await user.constraints())}

    @server.tool(annotations=_READS)
    async def check_request(request: str) -> ConstraintList:
        """Return the user's constraints that a request of theirs, or something you plan to do, may touch.

        An empty list means that no word of it is known to touch one. It does not mean that it is safe.
        """
        constraints = active(await user.constraints())
        touched = relevant(constraints, request)
        return {"constraints": [constraint for constraint in constraints if constraint["id"] in touched]}

    @server.tool(annotations=_WRITES)
    async def add_constraint(
        about: str, kind: Kind = "other", severity: Severity = "serious", subject: str = "user"
    ) -> OneConstraint:
        """Add a constraint that the user stated, in their own words.

        `about` is the danger, in one short line. `subject` is "user", or the person whom it concerns, such as "my
        sister".
        """
        return {"constraint": await user.add(about, kind=kind, severity=severity, subject=subject)}

    @server.tool(annotations=_WRITES)
    async def retract_constraint(constraint_id: str) -> OneConstraint:
        """Mark a constraint as retracted, because the user said that it does not apply any more."""
        return {"constraint": await user.edit(constraint_id, status="retracted")}

    @server.resource(LEDGER, name="ledger", mime_type="application/json")
    async def ledger() -> str:
        """Everything that is known of the user, including retracted constraints, as JSON."""
        return await user.export()

    return server


async def serve_ledger(database: str, user_id: str) -> None:
    """Serve the ledger of `user_id` on standard input and output, until the client hangs up."""
    async with open_mirror(database) as mirror:
        await ledger_server(mirror, user_id).run_stdio_async()
