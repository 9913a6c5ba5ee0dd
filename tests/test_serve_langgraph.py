"""The routes of `mirror serve` in a LangGraph server, at a sub-path."""

from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from mirror_graph.testing.endpoint import Endpoint
from tests.server import ROOT, serving


@pytest.mark.slow
def test_the_routes_work_under_a_path_of_a_langgraph_server(endpoint: Endpoint, tmp_path: Path) -> None:
    env = {"MIRROR_MODEL": "openai:any", "MIRROR_DATABASE": str(tmp_path / "mirror.db")}
    app = {"app": str(ROOT / "examples" / "langgraph_app.py:app")}
    with serving(endpoint, extra_env=env, http=app) as url:
        assert httpx.get(f"{url}/mirror/health").json() == {"status": "ok"}
        assert httpx.get(f"{url}/ok").status_code == 200
        assert httpx.get(f"{url}/mirror/health", headers={"Host": "evil.example"}).status_code in (400, 403)
        with OpenAI(base_url=f"{url}/mirror/v1", api_key="none", max_retries=0) as client:
            stream = client.chat.completions.create(
                model="mirror", messages=[{"role": "user", "content": "I'm allergic to nuts."}], stream=True
            )
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert text == "I hear you."
        # The server's own threads are others.
        assert httpx.post(f"{url}/threads/search", json={}).json() == []
