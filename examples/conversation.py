"""The conversation that the agents here have: twelve turns with a model on this machine, which needs no key."""

from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

from mirror_graph.agents import MirrorMiddleware
from mirror_graph.testing.endpoint import Answer, Call, Endpoint

WEEKS = [f"Week {week} was long. " + "Nothing much happened in it. " * 10 for week in range(1, 10)]
TURNS = ["Hello!", "I'm severely allergic to peanuts.", *WEEKS, "Recommend a dish for the Thai place tonight."]


def naive(call: Call) -> Answer | str:
    """Answer as a model does that has forgotten everything. A supervisor hands over first."""
    tools = str(call.body.get("tools"))
    if "transfer_to_guide" in tools and "transfer_to_cook" not in tools and call.messages[-1]["role"] == "user":
        return Answer(calls=[("transfer_to_guide", {})])
    return "The satay is lovely." if "Thai place" in call.prompt else "That is good to hear. " * 5


async def converse(build: Callable[[BaseChatModel], Any], mirror: MirrorMiddleware) -> None:
    """Print what the agent streams, and wait after each turn until the mind has caught up."""
    with Endpoint(naive) as endpoint:
        agent = build(ChatOpenAI(model="any", base_url=endpoint.url, api_key=lambda: "none"))
        for text in TURNS:
            turn, config = {"messages": [HumanMessage(text)]}, {"configurable": {"thread_id": "dinner"}}
            async for _, (piece, _) in agent.astream(turn, config, stream_mode="messages", subgraphs=True):
                if piece.type == "AIMessageChunk":
                    print(piece.text, end="", flush=True)
            await mirror.settle("dinner", timeout=30)
            print()
    print(f"(lag {(await mirror.mind('dinner')).lag})")
