"""`mirror mcp`: an agent reads and changes a user's ledger."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.memory import create_connected_server_and_client_session
from mcp.types import TextContent, TextResourceContents
from pydantic import AnyUrl

from mirror_graph import open_mirror
from mirror_graph.serve.mcp import LEDGER, ledger_server

COMMAND = ["-c", "from mirror_graph.cli import main; main()", "mcp", "--user", "ana"]


@pytest.fixture
async def database(tmp_path: Path) -> str:
    place = str(tmp_path / "mirror.db")
    async with open_mirror(place) as mirror:
        await mirror.user("ana").add("shellfish", kind="allergy", severity="life-threatening")
        await mirror.user("ben").add("dogs", kind="phobia")
    return place


async def call(session: ClientSession, tool: str, **arguments: Any) -> Any:
    result = await session.call_tool(tool, arguments)
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text if result.isError else result.structuredContent


async def test_an_agent_reads_checks_adds_and_retracts(database: str) -> None:
    async with (
        open_mirror(database) as mirror,
        create_connected_server_and_client_session(ledger_server(mirror, "ana")) as session,
    ):
        tools = {tool.name: tool.annotations for tool in (await session.list_tools()).tools}
        reads = {name for name, annotations in tools.items() if annotations and annotations.readOnlyHint}
        assert reads == {"list_constraints", "check_request"}
        assert set(tools) - reads == {"add_constraint", "retract_constraint"}

        listed = await call(session, "list_constraints")
        assert [known["about"] for known in listed["constraints"]] == ["shellfish"]
        touched = await call(session, "check_request", request="Order the paella for eight.")
        assert [known["about"] for known in touched["constraints"]] == ["shellfish"]
        assert (await call(session, "check_request", request="What is the capital of France?"))["constraints"] == []

        added = await call(session, "add_constraint", about="heights", kind="phobia")
        retracted = await call(session, "retract_constraint", constraint_id=added["constraint"]["id"])
        assert retracted["constraint"]["status"] == "retracted"
        assert "no constraint 'none'" in await call(session, "retract_constraint", constraint_id="none")
        assert "one line" in await call(session, "add_constraint", about="two\nlines")

        [resource] = (await session.read_resource(AnyUrl(LEDGER))).contents
        assert isinstance(resource, TextResourceContents)
        ledger = json.loads(resource.text)
        assert {known["about"]: known["status"] for known in ledger["constraints"]} == {
            "shellfish": "active",
            "heights": "retracted",
        }


@pytest.mark.slow
async def test_the_command_serves_the_ledger_and_says_that_it_carries_no_mind(database: str) -> None:
    server = StdioServerParameters(command=sys.executable, args=[*COMMAND, "--database", database])
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        greeting = await session.initialize()
        assert "carries no mind" in str(greeting.instructions)
        listed = await call(session, "list_constraints")
        assert [known["about"] for known in listed["constraints"]] == ["shellfish"]
