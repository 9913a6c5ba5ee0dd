"""What a test module that runs Inspect in its own process needs."""

import pytest

INSPECT = [
    # Inspect's own: it leaves files to the garbage collector, and calls what its libraries deprecate.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.usefixtures("own_inspect_cache"),
]
