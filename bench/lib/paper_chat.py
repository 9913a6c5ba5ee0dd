"""The paper's set-up with its layout of the prompts and our words in them: what `python -m bench tokens` compares with.

Three calls a turn. The narrative is a system message before the history. One joint call thinks: it reads the recent
conversation, then its own history of thoughts. The narrative is rebuilt from those thoughts and the last narrative.
Only the layout and the lengths count here, so our prompts stand in for the paper's, with their fields left open.
"""

from collections.abc import Mapping, Sequence

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from mirror_graph.prompts import TEMPLATES
from mirror_graph.state import ALL_THINKERS, Tokens
from mirror_graph.state.reducers import message_tokens
from mirror_graph.state.usage import usage_of

WINDOW_TOKENS = 20_000
HISTORY_TOKENS = 9_000
HISTORY_KEPT = 8_000


class PaperChat:
    """The paper's conversation: talker, joint monologue, controller, one after the other."""

    def __init__(self, models: Mapping[str, BaseChatModel]) -> None:
        self._models = models
        self._said: list[BaseMessage] = []
        self._thoughts: list[BaseMessage] = []
        self._narrative = ""

    async def say(self, text: str) -> dict[str, Tokens]:
        """Take a turn, thinking included; return what each call took."""
        return {"talker": await self._talk(text), "joint": await self._think(), "synthesis": await self._synthesize()}

    async def _talk(self, text: str) -> Tokens:
        narrative = [SystemMessage(self._narrative)] if self._narrative else []
        self._said.append(HumanMessage(text))
        system = SystemMessage(TEMPLATES["talker"].template)
        reply = await self._models["talker"].ainvoke([system, *narrative, *_window(self._said)])
        self._said.append(AIMessage(reply.text))
        return usage_of(reply)

    async def _think(self) -> Tokens:
        question = "\n\n".join(TEMPLATES[name].template for name in ("joint", *ALL_THINKERS))
        system = SystemMessage(TEMPLATES["thinker"].template)
        prompt = [system, *_window(self._said), *self._thoughts, HumanMessage(question)]
        thoughts = await self._models["joint"].ainvoke(prompt)
        self._thoughts.append(AIMessage(thoughts.text))
        if sum(map(message_tokens, self._thoughts)) > HISTORY_TOKENS:
            self._thoughts = _newest(self._thoughts, HISTORY_KEPT)
        return usage_of(thoughts)

    async def _synthesize(self) -> Tokens:
        request = "\n\n".join((TEMPLATES["synthesis_request"].template, self._narrative, self._thoughts[-1].text))
        prompt = [SystemMessage(TEMPLATES["synthesis"].template), HumanMessage(request)]
        narrative = await self._models["synthesis"].ainvoke(prompt)
        self._narrative = narrative.text
        return usage_of(narrative)


def _window(said: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the first message and the newest ones that fit next to it."""
    first, *rest = said
    return [first, *_newest(rest, WINDOW_TOKENS - message_tokens(first))]


def _newest(messages: Sequence[BaseMessage], tokens: int) -> list[BaseMessage]:
    count = 0
    for message in reversed(messages):
        tokens -= message_tokens(message)
        if tokens < 0:
            break
        count += 1
    return list(messages[len(messages) - count :])
