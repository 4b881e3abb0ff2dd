"""Processor time and memory of a driver and of the processes that Ray starts for it.

A process of its own samples them, because actors end with their job, and so that sampling costs
none of them anything.
"""

import multiprocessing
import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import NamedTuple

import psutil

DRIVER, ACTORS, TASKS, SERVICES = "driver", "actors", "other workers", "raylet and GCS"

_SECONDS = 0.2
"""The time between two samples."""


class Sample(NamedTuple):
    """A process at a time of `time.monotonic`."""

    time: float
    pid: int
    kind: str
    cpu: float
    """Seconds of processor time so far."""
    rss: int
    """Bytes of resident memory."""
    shared: int
    """Those of them that are shared, as code and Ray's object store."""


@dataclass
class Samples:
    """What was sampled; it is complete when the block of `sampling` has ended."""

    samples: list[Sample] = field(default_factory=list)

    def cpu(self, start: float, end: float) -> dict[str, float]:
        """Return the seconds of processor time of each kind of processes between two times."""
        by_pid: dict[int, list[Sample]] = {}
        for sample in self.samples:
            by_pid.setdefault(sample.pid, []).append(sample)
        seconds = dict.fromkeys((DRIVER, ACTORS, TASKS, SERVICES), 0.0)
        for samples in by_pid.values():
            times = [sample.time for sample in samples]
            kinds = {sample.kind for sample in samples}
            kind = ACTORS if ACTORS in kinds else samples[-1].kind  # idle ones become actors
            before, at_end = bisect_right(times, start), bisect_right(times, end)
            if at_end:
                seconds[kind] += samples[at_end - 1].cpu
                seconds[kind] -= samples[before - 1].cpu if before else 0
        return seconds

    def memory(self, kind: str, at: float) -> tuple[float, float]:
        """Return MiB of resident memory at a time, and those that are not shared, of a kind."""
        latest = max(sample.time for sample in self.samples if sample.time <= at)
        ones = [one for one in self.samples if one.time == latest and one.kind == kind]
        rss, shared = sum(one.rss for one in ones), sum(one.shared for one in ones)
        return rss / 2**20, (rss - shared) / 2**20


@contextmanager
def sampling(*ignored: int) -> Iterator[Samples]:
    """Sample this process and its children, without those of the ids that are ignored."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=_sample, args=(its, os.getpid(), ignored), daemon=True)
    process.start()
    ours.recv()  # it has begun
    samples = Samples()
    try:
        yield samples
    finally:
        ours.send("end")
        samples.samples = ours.recv()
        process.join()


def _sample(pipe: Connection, driver: int, ignored: Sequence[int]) -> None:
    samples: list[Sample] = []
    kinds: dict[int, str] = {}
    skipped = {*ignored, os.getpid()}
    root = psutil.Process(driver)
    is_first = True
    while not pipe.poll(0 if is_first else _SECONDS):
        now = time.monotonic()
        for process in [root, *root.children(recursive=True)]:
            if process.pid not in skipped:
                samples += _look(process, now, driver, kinds)
        if is_first:
            pipe.send("begun")
            is_first = False
    pipe.recv()
    pipe.send(samples)


def _look(
    process: psutil.Process, now: float, driver: int, kinds: dict[int, str]
) -> Iterator[Sample]:
    try:
        with process.oneshot():
            times = process.cpu_times()
            memory = process.memory_info()
            if kinds.get(process.pid) not in {DRIVER, ACTORS}:  # a worker becomes an actor
                kind = _kind(" ".join(process.cmdline()))
                kinds[process.pid] = DRIVER if process.pid == driver else kind
    except psutil.NoSuchProcess:
        return
    cpu = times.user + times.system
    yield Sample(now, process.pid, kinds[process.pid], cpu, memory.rss, memory.shared)


def _kind(command: str) -> str:
    """Return what a process is; Ray writes into the title of a worker what it runs."""
    if "MapWorker" in command:
        return ACTORS
    return TASKS if command.startswith("ray::") or "default_worker.py" in command else SERVICES
