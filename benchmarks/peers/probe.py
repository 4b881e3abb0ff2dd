"""Measures what takes a process of its own: import, construction and memory.

    python -m benchmarks.peers.probe CLIENT URL TOKENS

It prints an object of figures; a figure that a client does not have is missing.
"""

import gc
import json
import re
import sys
import time
from importlib import import_module
from pathlib import Path

from benchmarks.peers.clients import CLIENTS, IMPORTS, LangChainClient
from benchmarks.peers.server import prompt

_STATUS = Path("/proc/self/status")
_CONSTRUCTIONS = 200


def main(name: str, url: str, tokens: int) -> None:
    """Print the figures of a client."""
    figures = {}
    if name in IMPORTS:
        module, attribute = IMPORTS[name]
        collections: list[float] = []  # when each garbage collection began and ended
        gc.callbacks.append(lambda *_: collections.append(time.process_time()))
        cpu, wall = time.process_time(), time.perf_counter()
        getattr(import_module(module), attribute)
        figures["import_ms"] = (time.process_time() - cpu) * 1e3
        figures["import_wall_ms"] = (time.perf_counter() - wall) * 1e3
        gc.callbacks.clear()
        collecting = sum(collections[1::2]) - sum(collections[::2])
        figures["import_without_gc_ms"] = figures["import_ms"] - collecting * 1e3
    make = CLIENTS[name]
    if isinstance(make(url), LangChainClient):
        kept = [make(url) for _ in range(20)]  # the first ones compile, and load certificates
        gc.collect()
        cpu = time.process_time()
        kept += [make(url) for _ in range(_CONSTRUCTIONS)]
        figures["construction_us"] = (time.process_time() - cpu) / _CONSTRUCTIONS * 1e6
        del kept
    client = make(url)
    if hasattr(client, "stream") and _STATUS.exists():
        _read(client, 200)
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # peak = now
        before = _peak_kib()
        _read(client, tokens)
        figures["memory_mib"] = (_peak_kib() - before) / 1024
    print(json.dumps(figures))


def _read(client: object, tokens: int) -> None:
    for _ in client.stream(prompt(tokens, "burst")):  # type: ignore[attr-defined]
        pass


def _peak_kib() -> int:
    """Return the peak of resident memory; getrusage() would begin with that of the parent."""
    match = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
    return int(match[1]) if match else 0


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
