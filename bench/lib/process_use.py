"""What this process uses over a while: time, processor time, memory."""

import asyncio
import time

import psutil


class ProcessUse:
    """Counts from the moment it is made; memory is looked at as long as `watch` runs."""

    def __init__(self) -> None:
        self._process = psutil.Process()  # type: ignore[no-untyped-call]  # psutil has no types
        self._started = time.perf_counter()
        self._processor = self._processor_time()
        self.memory_before: int = self._process.memory_info().rss
        self.most_memory = self.memory_before

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._started

    @property
    def processor(self) -> float:
        """Seconds of processor time since the beginning."""
        return self._processor_time() - self._processor

    async def watch(self) -> None:
        """Look at the memory until cancelled."""
        while True:
            self.most_memory = max(self.most_memory, self._process.memory_info().rss)
            await asyncio.sleep(0.1)

    def _processor_time(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
