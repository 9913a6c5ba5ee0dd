"""Requests of every kind that the OpenAPI description allows, and many that it forbids: no 500, no unknown status."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.serve.app import create_app
from mirror_graph.serve.settings import ServeSettings
from tests.serving import listening

SCHEMATHESIS = Path(__file__).with_name("schemathesis_cli.py")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = os.environ.get("MIRROR_SCHEMA_EXAMPLES", "10")
KEY = "ana-key-0123456789abcdef"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("authorization", [f"Bearer {KEY}", "Bearer wrong"])
async def test_no_request_gets_a_500_or_an_undocumented_status(tmp_path: Path, authorization: str) -> None:
    context = MirrorContext(talker_model="scripted:demo", thinking="off")
    async with open_mirror(tmp_path / "mirror.db", context=context, transcripts=True) as mirror:
        app = create_app(mirror, settings=ServeSettings(keys={KEY: "ana"}))
        async with listening(app) as url:
            arguments = ["--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", "9", "--no-color"]
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *[
                    SCHEMATHESIS,
                    "run",
                    f"{url}/openapi.json",
                    "--header",
                    f"Authorization: {authorization}",
                    *arguments,
                ],
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=tmp_path,
            )
            output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
