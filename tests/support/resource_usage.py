"""What a process holds, as counts, for tests and benchmarks of leaks; Linux tells all of it."""

import asyncio
import gc
import threading
from dataclasses import dataclass
from pathlib import Path

_ESTABLISHED = "01"


@dataclass(frozen=True, slots=True)
class Held:
    """What this process holds.

    Args:
        files: Open file descriptors, sockets among them.
        threads: Living threads.
    """

    files: int
    threads: int


def held() -> Held:
    """Count what this process holds."""
    return Held(len(list(Path("/proc/self/fd").iterdir())), threading.active_count())


def connections_to(port: int) -> int:
    """Count this process's open sockets that are connected to a port of this machine."""
    ours = {_target(file) for file in Path("/proc/self/fd").iterdir()}
    count = 0
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, _, *rest = line.split()
        inode = rest[5]
        count += int(remote.split(":")[1], 16) == port and f"socket:[{inode}]" in ours
    return count


def living(kind: type) -> int:
    """Count the objects of a class that are alive once garbage is collected."""
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


async def idle() -> None:
    """Wait until nothing but the caller runs in this event loop."""
    me = asyncio.current_task()
    while others := asyncio.all_tasks() - {me}:
        await asyncio.wait(others)


def _target(file: Path) -> str:
    try:
        return str(file.readlink())
    except FileNotFoundError:  # the listing itself was one of them
        return ""
