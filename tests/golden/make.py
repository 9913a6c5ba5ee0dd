"""Write the golden database of this release: `make golden`. Once a release, never again for an old one."""

import asyncio
import json
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.models import register_script
from tests.golden.reading import FOLDER, as_json

MESSAGES = ("I'm allergic to peanuts.", "My friends want satay.", "What's the capital of Peru?")


def answer(messages: list[object]) -> str:
    """Answer every component alike, because only the storage matters here."""
    return f"Noted, in {len(messages)} messages."


async def write(file: Path) -> None:
    """Store a conversation of three turns, the last of which has not been thought about."""
    register_script("golden", answer)  # type: ignore[arg-type]  # takes any messages
    async with open_mirror(file, context=MirrorContext(talker_model="scripted:golden", think_after=0)) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        for words in MESSAGES[:-1]:
            await conversation.say(words)
            await conversation.settle()
    async with open_mirror(file, context=MirrorContext(talker_model="scripted:golden", thinking="off")) as mirror:
        await mirror.conversation("dinner", user_id="ana").say(MESSAGES[-1])
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("VACUUM")


def main() -> None:
    """Write the database of the installed version, and what must be read from it."""
    file = FOLDER / f"{version('mirror-graph')}.db"
    file.unlink(missing_ok=True)
    asyncio.run(write(file))
    file.with_suffix(".json").write_text(json.dumps(asyncio.run(as_json(file)), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
