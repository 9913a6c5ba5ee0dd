"""`mirror serve` and `mirror mcp`: for a browser, for programs and for agents."""

import asyncio
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mirror_graph.cli.defaults import chosen_model, default_database
from mirror_graph.cli.render import console
from mirror_graph.errors import ConfigurationError
from mirror_graph.state import MirrorContext, Thinking

if TYPE_CHECKING:
    from mirror_graph.serve.settings import ServeSettings

NEEDED = ("fastapi", "uvicorn", "jwt")


def serve(
    *,
    database: str | None,
    host: str,
    port: int,
    user: str | None,
    keys: Path | None,
    user_header: str | None,
    model: str | None,
    thinking: Thinking,
) -> None:
    """Serve until the operator stops it."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ConfigurationError(f"mirror serve needs {' and '.join(missing)}: pip install 'mirror-graph[cli,serve]'")
    from mirror_graph.serve.server import serve

    settings = _settings(host, user, keys, user_header)
    context = MirrorContext(talker_model=chosen_model(model), thinking=thinking)
    asyncio.run(
        serve(
            database or default_database(),
            context=context,
            settings=settings,
            port=port,
            started=lambda url: console.print(f"MIRROR is at {url} (Ctrl-C stops it).", highlight=False),
        )
    )


def mcp(*, database: str | None, user: str) -> None:
    """Serve a user's ledger to an agent until it hangs up."""
    if find_spec("mcp") is None:
        raise ConfigurationError("mirror mcp needs mcp: pip install 'mirror-graph[mcp]'")
    from mirror_graph.serve.mcp import serve_ledger

    asyncio.run(serve_ledger(database or default_database(), user))


def _settings(host: str, user: str | None, keys_file: Path | None, user_header: str | None) -> "ServeSettings":
    """Return who may call: those who sign in as configured, and without a sign-in the user of this machine."""
    from mirror_graph.serve.pace import PER_MINUTE, turns_per_minute
    from mirror_graph.serve.settings import ServeSettings, read_keys
    from mirror_graph.serve.tokens import TokenSettings

    keys = read_keys(keys_file) if keys_file else {}
    tokens = TokenSettings.from_environment()
    trusted_key = os.environ.get("MIRROR_TRUSTED_KEY") or None
    has_sign_in = bool(keys or tokens or trusted_key or user_header)
    return ServeSettings(
        host=host,
        local_user=user if user or has_sign_in else "me",
        keys=keys,
        tokens=tokens,
        trusted_key=trusted_key,
        user_header=user_header,
        turns_per_minute=turns_per_minute() if has_sign_in or os.environ.get(PER_MINUTE) else None,
    )
