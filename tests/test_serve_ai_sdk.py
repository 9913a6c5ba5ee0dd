"""The Vercel AI SDK, from npm, talks to `mirror serve`."""

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.serve.app import create_app
from mirror_graph.serve.settings import ServeSettings
from mirror_graph.testing.endpoint import Answer, Endpoint, Usage
from tests.replies import Replies
from tests.serving import listening

SOURCE = Path(__file__).parent / "ai_sdk"
FOLDER = Path(sys.prefix) / "ai_sdk"
"""Where the packages are installed, once per environment."""

KEY = "ana-key-0123456789abcdef"


async def run(*command: str, cwd: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


@pytest.mark.slow
async def test_the_vercel_ai_sdk_generates_and_streams_in_one_thread(endpoint: Endpoint, replies: Replies) -> None:
    shutil.copytree(SOURCE, FOLDER, dirs_exist_ok=True)
    await run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", cwd=FOLDER)
    replies.by_component["talker"] = Answer("I hear you.", usage=Usage(20, 3, 0))
    async with open_mirror(context=MirrorContext(talker_model="openai:any")) as mirror:
        app = create_app(mirror, settings=ServeSettings(keys={KEY: "ana"}))
        async with listening(app) as url:
            said: dict[str, Any] = json.loads(await run("node", "talk.js", f"{url}/v1", KEY, cwd=FOLDER))
    assert (said["text"], said["usage"]) == ("I hear you.", 23)
    assert "shellfish" in "".join(said["pieces"])
    assert len(said["pieces"]) > 1
    assert said["streamedUsage"] >= 23
    assert said["streamedThread"] == said["thread"]
    assert said["finishReason"] == "stop"
    assert "stop is not supported" in said["refused"]
