"""What a release must find in a golden database."""

import shutil
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mirror_graph import MirrorContext, open_mirror

FOLDER = Path(__file__).parent


async def as_json(file: Path) -> dict[str, Any]:
    """Read the conversation of a golden database, from a copy."""
    with TemporaryDirectory() as folder:
        copy = shutil.copy(file, folder)
        async with open_mirror(copy, context=MirrorContext(talker_model="scripted:echo")) as mirror:
            conversation = mirror.conversation("dinner", user_id="ana")
            messages = [(message.type, message.text) for message in await conversation.messages()]
            return {"messages": [list(message) for message in messages], "mind": asdict(await conversation.mind())}
