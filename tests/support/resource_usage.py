"""Counts of resources that this process holds, for tests and benchmarks of leaks (Linux)."""

import asyncio
import gc
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """Resources that this process holds.

    Args:
        files: Open file descriptors, sockets among them.
        threads: Living threads.
    """

    files: int
    threads: int


def resource_usage() -> ResourceUsage:
    """Count the resources that this process holds."""
    return ResourceUsage(len(list(Path("/proc/self/fd").iterdir())), threading.active_count())


def count_connections(port: int) -> int:
    """Count this process's open sockets that are connected to a local port."""
    ours = {_target(file) for file in Path("/proc/self/fd").iterdir()}
    count = 0
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, _, *rest = line.split()
        inode = rest[5]
        count += int(remote.split(":")[1], 16) == port and f"socket:[{inode}]" in ours
    return count


def count_instances(kind: type) -> int:
    """Count the instances of a class after a garbage collection."""
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


async def wait_until_idle() -> None:
    """Wait until the caller is the only task of this event loop."""
    me = asyncio.current_task()
    while others := asyncio.all_tasks() - {me}:
        await asyncio.wait(others)


def _target(file: Path) -> str:
    try:
        return str(file.readlink())
    except FileNotFoundError:  # the listing itself was one of them
        return ""
