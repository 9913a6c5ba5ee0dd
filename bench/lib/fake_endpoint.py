"""The endpoint of the benchmarks: talker, thinkers and synthesis each answer at a length and a pace of their own."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from bench.lib.filler_text import Speech
from mirror_graph.errors import ConfigurationError
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from mirror_graph.testing.environment import environment

ROLES = ("talker", "thinker", "synthesis")
THOUGHT_TOKENS = 80
NARRATIVE_TOKENS = 400


@dataclass(frozen=True)
class Voice:
    """A reply of `tokens` tokens: `delay` seconds before its first word, `pause` after each."""

    tokens: int
    delay: float = 0.0
    pause: float = 0.0


class Voices:
    """Answers for an `Endpoint`. A model is named `ROLE` or `ROLE.ARM`: arms share a voice and no prompt cache."""

    def __init__(self, voices: Mapping[str, Voice], seed: int) -> None:
        self._voices = voices
        self._speech = Speech(seed)

    def __call__(self, call: Call) -> Answer:
        """Answer a call; where a schema is asked for, with a text for each thought and nothing in its lists."""
        voice = self._voices[call.model.partition(".")[0]]
        form = call.body.get("response_format")
        fields = form["json_schema"]["schema"]["properties"] if form else {}
        said = {
            name: self._speech.text(voice.tokens) if field["type"] == "string" else [] for name, field in fields.items()
        }
        text = json.dumps(said) if said else self._speech.text(voice.tokens)
        return Answer(text, delay=voice.delay, pause=voice.pause)


@dataclass(frozen=True)
class Provider:
    """Where `openai:` models talk to: the voices, or with `model` that model of the endpoint in OPENAI_BASE_URL."""

    model: str | None = None

    def name(self, role: str, arm: str = "") -> str:
        """Return the name of a role's model."""
        return self.model or (f"{role}.{arm}" if arm else role)

    def context(self, arm: str = "") -> dict[str, Any]:
        """Return the models of a `MirrorContext`."""
        return {f"{role}_model": f"openai:{self.name(role, arm)}" for role in ROLES}


@contextmanager
def served(voices: Mapping[str, Voice], *, model: str, seed: int) -> Iterator[Provider]:
    """Serve `voices` from a process of its own, or provide `model` where OPENAI_BASE_URL is set.

    Raises `ConfigurationError` where the endpoint does not start.
    """
    if os.environ.get("OPENAI_BASE_URL"):
        yield Provider(model)
        return
    script = json.dumps({"voices": {role: asdict(voice) for role, voice in voices.items()}, "seed": seed})
    with subprocess.Popen([sys.executable, "-m", __name__, script], stdout=subprocess.PIPE, text=True) as server:
        try:
            with talking_to(server):
                yield Provider()
        finally:
            server.kill()


@contextmanager
def talking_to(server: "subprocess.Popen[str]") -> Iterator[None]:
    """Let `openai:` models talk to an endpoint whose process prints its URL first.

    Raises `ConfigurationError` where it does not start.
    """
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    if not url:
        raise ConfigurationError("the endpoint did not start: pip install 'mirror-graph[evals]'")
    with environment(OPENAI_BASE_URL=url, OPENAI_API_KEY="none"):
        yield


def main() -> None:
    """Serve the voices that the first argument describes until killed; the first line printed is the URL."""
    script = json.loads(sys.argv[1])
    voices = Voices({role: Voice(**voice) for role, voice in script["voices"].items()}, script["seed"])

    def answer(call: Call) -> Answer:
        endpoint.calls.clear()  # a long run would hoard its prompts
        return voices(call)

    with suppress(KeyboardInterrupt), Endpoint(answer) as endpoint:
        print(endpoint.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
