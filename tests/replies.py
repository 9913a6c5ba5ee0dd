"""An endpoint's replies, by the component that calls."""

import re
from collections.abc import Callable
from typing import cast

from mirror_graph.testing.endpoint import Answer, Call

Response = Answer | str | Callable[[Call], Answer | str]


def component_of(call: Call) -> str:
    """Name the component that a call comes from, by its prompt."""
    system, last = str(call.messages[0]["content"]), str(call.messages[-1]["content"])
    if any("numbers from one to six" in str(message["content"]) for message in call.messages):
        return "probe"
    if "Write down now what you must watch for" in last:
        return "anticipation"
    if "You are a kind companion" in system or "Between turns you go on thinking about this conversation" in system:
        return "talker"
    if "You recommend things to one person" in system:
        return "propose"
    if "You judge things that could be recommended" in last:
        return "screen"
    if "You are its core" in system:
        return "synthesis"
    if "Now think about each of these" in last:
        return "joint"
    return re.findall(r"Now think about \*\*(\w+)\*\*", last)[-1]


class Replies:
    """Replies by component: an answer, a text or a function of the call. A list is used up in order."""

    def __init__(self) -> None:
        self.by_component: dict[str, Response | list[Response]] = {
            "talker": "I hear you.",
            "propose": '{"items": []}',
            "screen": '{"things": []}',
            "probe": "What are the numbers for?",
            "goals": "They want to plan a dinner.",
            "reasoning": "Food may be a risk.",
            "memory": "They are allergic to peanuts.",
            "joint": '{"goals": "A dinner.", "reasoning": "A risk.", "memory": "Peanuts."}',
            "anticipation": '{"things": ["quandong pie"], "places": [], "activities": [], "words": []}',
            "synthesis": "I know that they are allergic to peanuts.",
        }

    def __call__(self, call: Call) -> Answer | str:
        """Answer a call."""
        response = self.by_component[component_of(call)]
        if isinstance(response, list):
            response = response.pop(0) if len(response) > 1 else response[0]
        return cast("Answer | str", response(call) if callable(response) else response)


def prompts_of(calls: list[Call], component: str) -> list[str]:
    """Return the whole prompts of a component's calls, in order."""
    return [
        "\n".join(str(message["content"]) for message in call.messages)
        for call in calls
        if component_of(call) == component
    ]
