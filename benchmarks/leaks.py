"""Leaks: what a process holds before and after many calls and many abandoned streams.

Every call goes through one model, every abandoned stream through one more; the server runs in a
process of its own on loopback, so that what is counted is the client's alone.

    PYTHONPATH=tests python benchmarks/leaks.py --calls 10000 --abandoned 1000

Prints a table in Markdown; exit status 1 if files, connections, threads or tasks were left over.
Linux only: the counts come from /proc.
"""

import argparse
import asyncio
import gc
import multiprocessing
import resource
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from support import sse_replies
from support.resource_usage import count_connections, resource_usage, wait_until_idle
from support.scripted_server import End, Reply, ScriptedServer

from langchain_voxtral import ChatVoxtral

WARM_UP = 50
"""Calls before the first count: imports, caches and arenas are made once and stay."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What is held at one moment; memory in MiB."""

    files: int
    connections: int
    threads: int
    tasks: int
    resident: float
    peak: float

    @property
    def leftovers(self) -> tuple[int, ...]:
        """What must be as before; memory is for the reader to judge."""
        return self.files, self.connections, self.threads, self.tasks


def resident_bytes() -> int:
    """Return the memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def count(port: int) -> Counts:
    """Count, once nothing runs any more."""
    await asyncio.sleep(0)  # closing may be due and not have begun
    await wait_until_idle()
    gc.collect()
    now = resource_usage()
    return Counts(
        files=now.files,
        connections=count_connections(port),
        threads=now.threads,
        tasks=len(asyncio.all_tasks()),
        resident=resident_bytes() / 2**20,
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    )


async def ainvoke(model: ChatVoxtral) -> None:
    """Call in the loop."""
    await model.ainvoke("Hello!")


async def invoke(model: ChatVoxtral) -> None:
    """Call and block."""
    model.invoke("Hello!")


async def abandon(model: ChatVoxtral) -> None:
    """Leave a stream after its first token."""
    for _ in model.stream("Hello!"):
        break


async def aabandon(model: ChatVoxtral) -> None:
    """Leave an asynchronous stream after its first token."""
    async for _ in model.astream("Hello!"):
        break


FINE = sse_replies.whole("Hello!")
OPEN = sse_replies.events(sse_replies.token("Hel"), End.STALL)
SCENES: dict[str, tuple[Callable[[ChatVoxtral], Awaitable[None]], Reply]] = {
    "invoke": (invoke, FINE),
    "ainvoke": (ainvoke, FINE),
    "stream, abandoned": (abandon, OPEN),
    "astream, abandoned": (aabandon, OPEN),
}


def serve(reply: Reply, pipe: Connection) -> None:
    """Serve until told to stop."""
    with ScriptedServer(default=reply) as server:
        pipe.send(server.url)
        pipe.recv()


async def play(name: str, url: str, times: int) -> tuple[Counts, Counts]:
    """Return what is held before and after so many calls, the model in use all the while."""
    call, _ = SCENES[name]
    port = int(url.split(":")[2].removesuffix("/v1"))
    async with ChatVoxtral(base_url=url) as model:
        for _ in range(WARM_UP):
            await call(model)
        before = await count(port)
        for _ in range(times):
            await call(model)
        return before, await count(port)


def main() -> int:
    """Play all scenes and print the table."""
    parser = argparse.ArgumentParser(description="Count what is left after many calls.")
    parser.add_argument("--calls", type=int, default=10_000, help="calls, for each way")
    parser.add_argument("--abandoned", type=int, default=1_000, help="streams, for each way")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    clean = True
    print("| what | times | files | connections | threads | tasks | resident MiB | peak MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (_, reply) in SCENES.items():
        times = arguments.abandoned if reply is OPEN else arguments.calls
        ours, its = context.Pipe()
        server = context.Process(target=serve, args=[reply, its])
        server.start()
        before, after = asyncio.run(play(name, ours.recv(), times))
        ours.send("stop")
        server.join()
        clean = clean and before.leftovers == after.leftovers
        pairs = [
            f"{was} → {now}" for was, now in zip(before.leftovers, after.leftovers, strict=True)
        ]
        pairs += [f"{before.resident:.1f} → {after.resident:.1f}", f"{after.peak:.1f}"]
        print(f"| {name} | {times} | {' | '.join(pairs)} |", flush=True)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
