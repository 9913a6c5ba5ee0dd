"""An agent of `create_agent` with a mind: on turn 12 it still knows what it was told on turn 2."""

import asyncio

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from mirror_graph import MirrorContext
from mirror_graph.agents import MirrorMiddleware
from mirror_graph.benchmarks.endpoint import Endpoint

TURNS = ["Hello!", "I'm severely allergic to peanuts.", *["My week was long. " * 20] * 9, "Recommend a Thai dish."]
mirror = MirrorMiddleware(context=MirrorContext(window_tokens=500), trim=True)


def build(model: BaseChatModel):  # type: ignore[no-untyped-def]  # what LangChain returns
    return create_agent(model, middleware=[mirror], checkpointer=InMemorySaver())


async def main() -> None:
    with Endpoint(lambda call: "The satay is lovely.") as endpoint:  # in the place of a real model
        agent = build(ChatOpenAI(model="any", base_url=endpoint.url, api_key=lambda: "none"))
        for text in TURNS:
            turn = {"messages": [HumanMessage(text)]}
            values = await agent.ainvoke(turn, {"configurable": {"thread_id": "dinner"}})
            await mirror.settle("dinner", timeout=30)
        print(values["messages"][-1].text)
