"""Give an agent the tools of an MCP server: what a tool returns counts for the guard, and a risky call is held."""

import asyncio
import sys
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.sessions import StdioConnection
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from mirror_graph import MirrorContext
from mirror_graph.agents import MirrorMiddleware
from mirror_graph.testing.endpoint import Answer, Call, Endpoint

SERVER = Path(__file__).parent / "mcp_menu.py"


def naive(call: Call) -> Answer | str:
    """Stand for a real model: look at the menu, then order what it offers."""
    steps = [("todays_special", {"place": "The corner"}), ("takeaway", {"dish": "chicken satay"})]
    made = sum(message["role"] == "tool" for message in call.messages)
    return Answer(calls=[steps[made]]) if call.body.get("tools") and made < len(steps) else "I have not ordered it."


async def main() -> None:
    """Ask for lunch once, and print every message of the turn."""
    menu = StdioConnection(command=sys.executable, args=[str(SERVER)], transport="stdio")
    tools = await MultiServerMCPClient({"menu": menu}).get_tools()
    with Endpoint(naive) as endpoint:
        model = ChatOpenAI(model="any", base_url=endpoint.url, api_key=lambda: "none")
        mirror = MirrorMiddleware(context=MirrorContext())
        agent = create_agent(model, tools, middleware=[mirror], checkpointer=InMemorySaver())
        request = HumanMessage("I'm severely allergic to peanuts. Order today's special.")
        values = await agent.ainvoke({"messages": [request]}, {"configurable": {"thread_id": "lunch"}})
        await mirror.settle("lunch", timeout=30)
    for message in values["messages"]:
        print(f"{message.type}: {message.text}")


if __name__ == "__main__":
    asyncio.run(main())
