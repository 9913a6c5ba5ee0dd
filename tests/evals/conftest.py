"""Fixtures of the tests that run Inspect."""

import gc
import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def own_inspect_cache() -> Iterator[None]:
    """Let Inspect choose its own cache for this test, and collect what it leaves to the garbage collector."""
    before = os.environ.pop("INSPECT_CACHE_DIR", None)
    yield
    gc.collect()  # here, where the filters of `INSPECT` hold, and not in another test
    os.environ.pop("INSPECT_CACHE_DIR", None)
    if before is not None:
        os.environ["INSPECT_CACHE_DIR"] = before
