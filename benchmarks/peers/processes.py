"""What takes a process of its own to measure: import, construction and memory."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.peers.clients import CLIENTS, MODULES

_IMPORT = """
import time
start = time.process_time()
import {module}
print((time.process_time() - start) * 1e3)
"""

_CONSTRUCTION = """
import time
from benchmarks.peers.clients import CLIENTS
make = CLIENTS[{name!r}]
kept = [make("http://127.0.0.1:9/burst/1", 1)]
start = time.process_time()
kept += [make("http://127.0.0.1:9/burst/1", 1) for _ in range(50)]
print((time.process_time() - start) / 50 * 1e6)
"""

_MEMORY = """
import resource
from benchmarks.peers.clients import CLIENTS
client = CLIENTS[{name!r}]({url!r} + "/burst/{tokens}", {tokens})
first = CLIENTS[{name!r}]({url!r} + "/burst/10", 10)
list(first.stream())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in client.stream():
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@dataclass(frozen=True)
class ProcessRow:
    """One measurement by a script.

    Args:
        name: What the table calls it.
        unit: The unit of the figures.
        script: Returns the script for a client and a server's address; None if there is none.
    """

    name: str
    unit: str
    script: Callable[[str, str], str | None]

    def measure(self, client: str, url: str) -> float | None:
        """Return the figure of a client."""
        script = self.script(client, url)
        if script is None:
            return None
        run = subprocess.run(  # noqa: S603 - a script of this file
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        return float(run.stdout)


def _import(client: str, _url: str) -> str | None:
    return _IMPORT.format(module=MODULES[client]) if client in MODULES else None


def _construction(client: str, _url: str) -> str | None:
    return _CONSTRUCTION.format(name=client) if client.startswith("Chat") else None


def _memory(client: str, url: str) -> str | None:
    has_stream = client in CLIENTS and client != "aiohttp alone"
    return _MEMORY.format(name=client, url=url, tokens=20_000) if has_stream else None


PROCESS_ROWS = (
    ProcessRow("import", "ms", _import),
    ProcessRow("construction", "us", _construction),
    ProcessRow("memory of a stream of 20,000 tokens", "MiB", _memory),
)
