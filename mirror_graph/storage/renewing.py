"""The thread that renews a host's leases, so that a busy event loop or a queue of writes cannot delay it."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from mirror_graph.storage.records import Renewal

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.2
"""How long to wait before connecting again, after a renewal failed."""


class RenewalThread:
    """Calls `renew` with a connection of its own every `interval()` seconds, from `start` to `stop`.

    If the database cannot be reached, it connects again and goes on: a lease that was renewed late is still
    good as long as no other host has taken it.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Renewal]],
        renew: Callable[[Renewal], None],
        interval: Callable[[], float],
    ) -> None:
        self._connect = connect
        self._renew = renew
        self._interval = interval
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mirror-leases", daemon=True)
            self._thread.start()

    def stop(self, patience: float) -> None:
        """Stop the thread; wait `patience` seconds at most for a database that does not answer."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(patience)

    def _run(self) -> None:
        is_failing = False
        while not self._stopping.is_set():
            try:
                with self._connect() as renewal:
                    while not self._stopping.wait(self._interval()):
                        self._renew(renewal)
                        is_failing = False
            except Exception as error:
                if not is_failing:
                    log.warning("could not renew the leases of this host, trying again: %s", error)
                is_failing = True
                self._stopping.wait(RETRY_SECONDS)
