"""One llama.cpp server, run as a script in a process of its own for as long as its parent lives.

A process, because loading a model holds Python's lock for seconds and would stop every other conversation.
"""

import importlib
import json
import os
import sys
from typing import Any

SLOTS = 4
CONTEXT = 32_768
PROMPT_CACHE_MIB = 512
MOST_THREADS = 16


def serve(path: str, key: str) -> Any:
    """Start a server of a model file and return it; it serves until it is garbage."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    settings = xllamacpp.CommonParams()
    settings.model.path = path
    settings.model_alias = {os.path.basename(path).removesuffix(".gguf")}
    settings.api_keys = [key]
    settings.n_parallel = SLOTS
    settings.kv_unified = True
    settings.n_ctx = CONTEXT
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0
    settings.cache_ram_mib = PROMPT_CACHE_MIB
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = min(os.cpu_count() or 1, MOST_THREADS)
    settings.verbosity = 0
    settings.ui = False
    settings.endpoint_slots = False
    return xllamacpp.Server(settings)


def main() -> None:
    """Serve the file that the first line of the input names, print the address, and end with the input."""
    server = serve(**json.loads(sys.stdin.readline()))
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
