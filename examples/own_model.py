"""Talk with a chat model object of your own: anything that LangChain calls a chat model."""

import asyncio

from langchain_core.language_models import SimpleChatModel
from langchain_core.messages import BaseMessage

from mirror_graph import MirrorContext, open_mirror


class Parrot(SimpleChatModel):
    """A chat model that repeats the user's last line. Your own class calls whatever you like."""

    def _call(self, messages: list[BaseMessage], *args: object, **kwargs: object) -> str:
        return f"You say: {messages[-1].text.splitlines()[-1]}"

    @property
    def _llm_type(self) -> str:
        return "parrot"


async def main() -> None:
    """Use one object to talk. Thinking is off, because a parrot has no thoughts; constraints are still tracked."""
    async with open_mirror(context=MirrorContext(talker_model=Parrot(), thinking="off")) as mirror:
        conversation = mirror.conversation("dinner")
        for text in ("I'm severely allergic to peanuts.", "Which satay shall I order?"):
            print((await conversation.say(text)).text)


if __name__ == "__main__":
    asyncio.run(main())
