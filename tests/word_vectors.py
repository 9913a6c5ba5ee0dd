"""An embeddings endpoint whose vectors count words."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest


class WordVectors(ThreadingHTTPServer):
    """Speaks the OpenAI embeddings protocol: a text's vector counts its words, each in a place of its own."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[list[str]] = []
        self.places: dict[str, int] = {}
        self.status = 200
        self.delay = 0.0

    def vector(self, text: str) -> list[float]:
        found = [0.0] * 512
        for word in re.findall(r"[a-z]+", text.lower()):
            found[self.places.setdefault(word, len(self.places))] += 1.0
        return found


class _Handler(BaseHTTPRequestHandler):
    server: WordVectors  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        self.server.asked.append(texts)
        time.sleep(self.server.delay)
        data = [
            {"object": "embedding", "index": place, "embedding": self.server.vector(text)}
            for place, text in enumerate(texts)
        ]
        body = json.dumps({"object": "list", "data": data, "model": "words", "usage": {}}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def serve_word_vectors(monkeypatch: pytest.MonkeyPatch) -> Iterator[WordVectors]:
    """Serve word vectors, and let `openai:` embeddings talk to them."""
    with WordVectors() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        yield server
        server.shutdown()
