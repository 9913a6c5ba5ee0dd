"""A LangSmith on this machine that takes what its client sends and keeps the runs."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

INFO = {
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "size_limit": 100,
        "size_limit_bytes": 20_000_000,
        "scale_up_nthreads_limit": 4,
        "scale_up_qsize_trigger": 1_000,
        "scale_down_nempty_trigger": 4,
    },
    "instance_flags": {"zstd_compression_enabled": True},
}


@dataclass(frozen=True)
class TracedRun:
    """One run, as the newest of what was sent about it says."""

    id: str
    body: dict[str, Any]

    @property
    def name(self) -> str:
        """What the run is listed as."""
        return str(self.body["name"])

    @property
    def is_model_call(self) -> bool:
        """Whether a model was asked."""
        return bool(self.body["run_type"] == "llm")

    @property
    def trace(self) -> str:
        """The id of the root run of its trace."""
        return str(self.body["trace_id"])

    @property
    def parent(self) -> str | None:
        """The id of the run it is part of."""
        return self.body.get("parent_run_id")

    @property
    def metadata(self) -> dict[str, Any]:
        """What LangSmith groups and filters by."""
        return dict((self.body.get("extra") or {}).get("metadata") or {})

    @property
    def ended(self) -> bool:
        """Whether its end was sent too."""
        return self.body.get("end_time") is not None

    @property
    def labels(self) -> str:
        """All that is stored about the run but its content: its inputs, outputs and events."""
        return json.dumps(
            {key: value for key, value in self.body.items() if key not in {"inputs", "outputs", "events"}}
        )

    @property
    def content(self) -> str:
        """Its inputs, outputs and events."""
        return json.dumps([self.body.get(key) for key in ("inputs", "outputs", "events")])


class LangSmithEndpoint:
    """The runs that were sent to `url`, by id."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[str] = []
        self._bodies: dict[str, dict[str, Any]] = {}

    @property
    def runs(self) -> list[TracedRun]:
        """The runs in the order in which they started."""
        ordered = sorted(self._bodies.items(), key=lambda item: item[1]["dotted_order"])
        return [TracedRun(id, body) for id, body in ordered]

    async def info(self, request: Request) -> Response:
        """Say what this server takes."""
        return JSONResponse(INFO)

    async def run(self, request: Request) -> Response:
        """Take one run, or what is new about one."""
        body = json.loads(await self._read(request))
        self._keep(request.path_params.get("id") or body["id"], body)
        return Response(status_code=202)

    async def batch(self, request: Request) -> Response:
        """Take runs as one JSON object."""
        batch = json.loads(await self._read(request))
        for body in [*(batch.get("post") or []), *(batch.get("patch") or [])]:
            self._keep(body["id"], body)
        return Response(status_code=202)

    async def multipart(self, request: Request) -> Response:
        """Take runs as a form: a part `post.ID` or `patch.ID` each, and one for each of its large fields."""
        boundary = request.headers["content-type"].partition("boundary=")[2].encode()
        for part in (await self._read(request)).split(b"--" + boundary)[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            named = re.search(rb'name="(?:post|patch)\.([^."]+)(?:\.([^."]+))?"', head)
            if named:
                id, field = named[1].decode(), named[2].decode() if named[2] else None
                value = json.loads(content)
                self._keep(id, {field: value} if field else value)
        return Response(status_code=202)

    async def _read(self, request: Request) -> bytes:
        self.requests.append(f"{request.method} {request.url.path}")
        body = await request.body()
        if request.headers.get("content-encoding") == "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
        return body

    def _keep(self, id: str, body: dict[str, Any]) -> None:
        known = self._bodies.setdefault(id, {})
        known.update({key: value for key, value in body.items() if value is not None})


@contextmanager
def langsmith_endpoint() -> Iterator[LangSmithEndpoint]:
    """Serve on 127.0.0.1, from a thread of its own, for the length of the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    endpoint = LangSmithEndpoint(f"http://127.0.0.1:{listener.getsockname()[1]}")
    routes = [
        Route("/info", endpoint.info),
        Route("/runs", endpoint.run, methods=["POST"]),
        Route("/runs/batch", endpoint.batch, methods=["POST"]),
        Route("/runs/multipart", endpoint.multipart, methods=["POST"]),
        Route("/runs/{id}", endpoint.run, methods=["PATCH"]),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
