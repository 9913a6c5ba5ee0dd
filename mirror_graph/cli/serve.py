"""`mirror serve`: the page, OpenAI's protocol and the memory API, until Ctrl-C."""

import asyncio
from importlib.util import find_spec

from mirror_graph.cli.defaults import chosen_model, default_database
from mirror_graph.cli.render import console
from mirror_graph.errors import ConfigurationError
from mirror_graph.state import MirrorContext, Thinking

NEEDED = ("fastapi", "uvicorn", "jwt")


def serve(
    *, database: str | None, host: str, port: int, user: str | None, model: str | None, thinking: Thinking
) -> None:
    """Serve until the operator stops it."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ConfigurationError(f"mirror serve needs {' and '.join(missing)}: pip install 'mirror-graph[serve]'")
    from mirror_graph.serve.server import serve
    from mirror_graph.serve.settings import ServeSettings

    settings = ServeSettings(host=host, local_user=user)
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
