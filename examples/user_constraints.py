"""Let users see and change what is known about them, and use it in every conversation of theirs."""

import asyncio

from mirror_graph import MirrorContext, open_mirror


async def main() -> None:
    """Learn a constraint in one conversation, use it in another, then change, export and erase it."""
    async with open_mirror(context=MirrorContext(talker_model="scripted:demo", thinking="off")) as mirror:
        await mirror.conversation("monday", user_id="ana").say("I'm severely allergic to shellfish.")
        reply = await mirror.conversation("friday", user_id="ana").say("Shall we order the paella?")
        print("another conversation:", reply.text)

        ana = mirror.user("ana")
        await ana.add("peanuts", kind="allergy", severity="life-threatening")
        for constraint in await ana.constraints():
            print(constraint["id"], constraint["severity"], constraint["about"], constraint["source"]["quote"])
        changed = (await ana.constraints())[0]
        await ana.edit(changed["id"], severity="life-threatening")
        print(await ana.export())
        await ana.forget()
        print("after forget:", await ana.constraints())


if __name__ == "__main__":
    asyncio.run(main())
