"""Add a thinker of your own: a name, and one line that says what it thinks about."""

import asyncio

from mirror_graph import MirrorContext, open_mirror

CONTEXT = MirrorContext(
    talker_model="scripted:demo",
    thinkers=("goals", "reasoning", "memory", "guests: who else is concerned, and what each of them needs"),
)


async def main() -> None:
    """Let the four thinkers think about one message, and print their thoughts."""
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("dinner")
        await conversation.say("My sister's fortieth is on Friday, and I cook for eight.")
        await conversation.settle(timeout=30)
        for thinker, thought in (await conversation.mind()).thoughts.items():
            print(f"{thinker}: {thought}")


if __name__ == "__main__":
    asyncio.run(main())
