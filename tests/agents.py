"""Agents with MIRROR at a strict endpoint: what their tests share."""

from collections.abc import Callable
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from mirror_graph import MirrorContext
from mirror_graph.models.http_client import shared_client
from mirror_graph.testing.endpoint import Answer, Call, Endpoint

RULES = "Between turns you go on thinking"
ALLERGY = "I'm severely allergic to peanuts."
WEEKS = [f"Week {week} was long. " + "Nothing much happened in it. " * 10 for week in range(9)]
TURNS = ["Hello!", ALLERGY, *WEEKS, "Recommend a dish for the Thai place tonight."]
NAIVE = "How about satay?"

Script = Callable[[Call], Answer | str]


def is_agents(call: Call) -> bool:
    """Say whether a call is the agent's, and not a thinker's."""
    return RULES in str(call.messages[0]["content"])


class Stage:
    """An endpoint, and the agents' calls at it. Thinkers get plain words."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.says("Nice to hear.")

    def says(self, script: Script | str) -> None:
        """Let the agent's model answer so."""

        def answer(call: Call) -> Answer | str:
            if not is_agents(call):
                return "They have told me about their week."
            return script(call) if callable(script) else script

        self.endpoint.answer = answer

    @property
    def model(self) -> ChatOpenAI:
        return ChatOpenAI(
            model="any",
            base_url=self.endpoint.url,
            api_key=SecretStr("none"),
            max_retries=0,
            http_async_client=shared_client(),  # closes its connections with the test's event loop
        )

    @property
    def calls(self) -> list[Call]:
        return [call for call in self.endpoint.calls if is_agents(call)]


def thread(name: str = "thread-1") -> RunnableConfig:
    return {"configurable": {"thread_id": name}}


def request(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


def context(**fields: Any) -> MirrorContext:
    return MirrorContext(**{"think_after": 60, **fields})  # `settle` ends the wait


def mark_of(message: AnyMessage) -> dict[str, Any]:
    return dict(message.response_metadata["mirror"])
