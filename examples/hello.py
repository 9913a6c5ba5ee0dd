"""One message, one reply, and what the mind made of it. No key is needed: the model plays a script."""

import asyncio

from mirror_graph import MirrorContext, open_mirror


async def main() -> None:
    """Say two things, and look at the mind between them."""
    async with open_mirror(context=MirrorContext(talker_model="scripted:demo")) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        reply = await conversation.say("I'm severely allergic to shellfish. My sister's fortieth is on Friday.")
        print("reply:    ", reply.text)
        await conversation.settle(timeout=30)  # only to look at the mind: a reply never waits for thinking
        mind = await conversation.mind()
        print("narrative:", mind.narrative)
        print("ledger:   ", [(constraint["about"], constraint["severity"]) for constraint in mind.constraints])
        print("reply:    ", (await conversation.say("Shall we order the paella?")).text)


if __name__ == "__main__":
    asyncio.run(main())
