"""The MCP server of `mcp_tools.py`: it tells today's special, and delivers dishes."""

from mcp.server.fastmcp import FastMCP
from mcp.types import ToolAnnotations

server = FastMCP("menu", log_level="WARNING")


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def todays_special(place: str) -> str:
    """Return today's special of a place."""
    return f"{place} serves chicken satay with peanut sauce."


@server.tool(annotations=ToolAnnotations(readOnlyHint=False))
def takeaway(dish: str) -> str:
    """Send a dish to the user."""
    return f"{dish} is on its way."


if __name__ == "__main__":
    server.run()
