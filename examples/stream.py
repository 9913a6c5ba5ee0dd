"""Print a reply as it is written, then read what code did about it: the note, and the constraint behind it."""

import asyncio

from mirror_graph import MirrorContext, open_mirror


async def main() -> None:
    """Stream two replies. The script's second reply names no danger, so the guard adds its note."""
    async with open_mirror(context=MirrorContext(talker_model="scripted:demo")) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        for text in (
            "I'm severely allergic to shellfish. My sister's fortieth is on Friday.",
            "Shall we order the paella?",
        ):
            stream = conversation.stream(text)
            async for piece in stream:
                print(piece, end="", flush=True)
            print(f"\n(turn {stream.reply.turn}, guarded: {stream.reply.guarded})\n")


if __name__ == "__main__":
    asyncio.run(main())
