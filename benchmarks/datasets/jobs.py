"""The jobs that are compared: the same prompts through Ray, and through asyncio alone."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.data

from benchmarks.datasets.processes import Samples, sampling
from benchmarks.datasets.server import Server, Stats
from langchain_voxtral import ChatVoxtral
from langchain_voxtral.ray import complete, transcribe

Job = Callable[[str, int, int], None]
"""Sends prompts to a base URL: how many, and how many at the same time."""


@dataclass
class Run:
    """What was measured of a job."""

    rows: int
    in_flight: int
    latency: float
    startup: float
    """Seconds from the call to the first request."""
    stats: Stats
    cpu: dict[str, float]
    """Seconds of processor time between the first request and the last response."""
    samples: Samples

    @property
    def rows_per_second(self) -> float:
        """Rows for each second between the first request and the last response."""
        return self.rows / self.stats.seconds

    @property
    def share(self) -> float:
        """Rows per second as a share of what the latency allows."""
        return self.rows_per_second * self.latency / self.in_flight

    def cpu_per_row(self, kind: str) -> float:
        """Return milliseconds of processor time for a row."""
        return self.cpu[kind] / self.rows * 1000


def measure(job: Job, server: Server, rows: int, in_flight: int, latency: float) -> Run:
    """Run a job and return what was measured.

    Raises:
        RuntimeError: The server has not got as many requests as there are rows.
    """
    server.reset(latency)
    with sampling(server.pid) as samples:
        start = time.monotonic()
        job(server.base_url, rows, in_flight)
    stats = server.stats()
    if stats.requests != rows:
        raise RuntimeError(f"{stats.requests} requests for {rows} rows")
    cpu = samples.cpu(stats.first, stats.last)
    return Run(rows, in_flight, latency, stats.first - start, stats, cpu, samples)


def by_ray(num_actors: int, num_cpus: float = 0.25) -> Job:
    """Return a job of `complete` that writes a folder."""

    def run(base_url: str, rows: int, in_flight: int) -> None:
        folder = tempfile.mkdtemp()
        answers = complete(
            ray.data.range(rows).map(_prompt),
            "prompt",
            output=folder,
            num_actors=num_actors,
            num_cpus=num_cpus,
            max_in_flight=in_flight,
            base_url=base_url,
        )
        if answers.count() != rows:
            raise RuntimeError(f"{answers.count()} answers to {rows} prompts")
        shutil.rmtree(folder)

    return run


def by_transcribe(recording: bytes) -> Job:
    """Return a job of `transcribe` with one actor, whose rows name files of one recording."""

    def run(base_url: str, rows: int, in_flight: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, f"recording-{number}") for number in range(rows)]
            paths[0].write_bytes(recording)
            for path in paths[1:]:
                path.hardlink_to(paths[0])
            transcripts = transcribe(
                ray.data.from_items([{"path": str(path)} for path in paths]),
                "path",
                output=str(Path(folder, "transcripts")),
                max_in_flight=in_flight,
                base_url=base_url,
            )
            if errors := set(transcripts.unique("error")) - {None}:
                raise RuntimeError(f"{errors}")

    return run


def _prompt(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"prompt": f"Describe the number {row['id']} in 100 words."}


def by_batch(base_url: str, rows: int, in_flight: int) -> None:
    """Send prompts with `abatch_as_completed`, in this process."""

    async def run() -> None:
        prompts = [_prompt({"id": number})["prompt"] for number in range(rows)]
        async with ChatVoxtral(base_url=base_url) as chat:
            async for _ in chat.abatch_as_completed(prompts, {"max_concurrency": in_flight}):
                pass

    asyncio.run(run())
