"""Warming up behind a program that makes an agent: nothing there waits for it, as a host's opening does."""

import threading
from functools import cache

from mirror_graph.guard.warming import warm_up


@cache
def start_warm_up() -> None:
    """Warm up in a thread, once per process: it takes two seconds of a core, and no program waits for it."""
    threading.Thread(target=warm_up, name="mirror-warm-up", daemon=True).start()
