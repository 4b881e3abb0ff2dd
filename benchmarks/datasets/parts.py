"""The parts of the benchmark; each returns a section of Markdown."""

import logging
import os
import time
from collections.abc import Callable

import ray
import ray.data

from benchmarks.datasets import audio
from benchmarks.datasets.jobs import Run, by_batch, by_ray, by_transcribe, measure
from benchmarks.datasets.processes import ACTORS, DRIVER, SERVICES, TASKS
from benchmarks.datasets.server import running

_LATENCY = 1.0
"""Seconds that the server takes for a request."""
_WAVES = 15
"""Rows for each request in flight: so many times the latency is what a job takes at best."""
_ACTORS = {1: 50, 2: 100, 4: 200}
"""Actors: requests in flight, of all together."""
_ROWS, _SHORT_LATENCY = 100_000, 0.1


def rows() -> str:
    """Return the table of rows per second."""
    with running() as server:
        runs = {
            ("abatch_as_completed", n): measure(by_batch, server, _WAVES * n, n, _LATENCY)
            for n in _ACTORS.values()
        }
        start = time.monotonic()
        _start_ray()
        startup = time.monotonic() - start
        measure(by_ray(1), server, _WAVES * 50, 50, 0.05)  # starts Ray's own actors
        jobs = [*_ACTORS.items(), (1, 200), (2, 200), (8, 200)]
        for actors, n in jobs:
            # With a whole CPU left for reading.
            job = by_ray(actors, num_cpus=min(0.25, 1 / actors))
            runs[f"Ray, {actors} actors", n] = measure(job, server, _WAVES * n, n, _LATENCY)
        ray.shutdown()
    head = [
        "job", "in flight", "peak", "rows/s", "of ideal",
        "driver", "actors", "other workers", "raylet, GCS", "start, s",
    ]  # fmt: skip
    cells = [_cells(title, run) for (title, _), run in runs.items()]
    note = (
        f"The server takes {_LATENCY} s for a request; each job has {_WAVES} rows for each request "
        "in flight. Ideal is in flight / latency. Processor time is in ms a row, between the first "
        "request and the last response. Start is the time from the call to the first request, with "
        f"Ray running; Ray itself starts in {startup:.1f} s."
    )
    return f"## Rows per second\n\n{note}\n\n{_table([head, *cells])}"


def _cells(title: str, run: Run) -> list[str]:
    return [
        title,
        str(run.in_flight),
        str(run.stats.peak),
        f"{run.rows_per_second:.0f}",
        f"{run.share:.2f}",
        *(f"{run.cpu_per_row(kind):.2f}" for kind in (DRIVER, ACTORS, TASKS, SERVICES)),
        f"{run.startup:.1f}",
    ]


def memory() -> str:
    """Return the table of memory during a job of many rows."""
    with running() as server:
        _start_ray()
        run = measure(by_ray(1), server, _ROWS, 200, _SHORT_LATENCY)
        ray.shutdown()
    table = [["rows sent", "driver", "driver, not shared", "actor", "raylet, GCS, not shared"]]
    for share in (0.1, 0.25, 0.5, 0.75, 1):
        at = run.stats.first + share * run.stats.seconds
        rss, own = run.samples.memory(DRIVER, at)
        actor, services = run.samples.memory(ACTORS, at), run.samples.memory(SERVICES, at)
        figures = (rss, own, actor[0], services[1])
        table.append([f"{share:.0%}", *(f"{figure:.0f}" for figure in figures)])
    note = (
        f"A job of {_ROWS:,} rows with `output=`, one actor, 200 in flight, {_SHORT_LATENCY} s for "
        f"a request: {run.rows_per_second:.0f} rows/s. Memory is resident, in MiB; shared is that "
        "of libraries and of Ray's object store. Shares are of the time of the requests."
    )
    return f"## Memory\n\n{note}\n\n{_table(table)}"


def recordings() -> str:
    """Return the tables of what a minute of audio costs: an actor of Ray, and the parser alone."""
    with running() as server:
        _start_ray()
        cells = []
        for name in audio.FORMATS:
            run = measure(by_transcribe(audio.encoded_minute(name)), server, 1000, 100, _LATENCY)
            kinds = (DRIVER, ACTORS, TASKS, SERVICES)
            figures = [f"{run.cpu_per_row(kind):.1f}" for kind in kinds]
            cells.append([f"{name}, 1 min", f"{run.rows_per_second:.0f}", *figures])
        ray.shutdown()
        server.reset(0)
        alone = audio.measure(server)
    head = ["recording", "minutes/s", "driver", "actor", "other workers", "raylet, GCS"]
    note = (
        "`transcribe` with `output=` and one actor, 1,000 files of a minute, 100 in flight, "
        f"{_LATENCY} s for a request. Processor time is in ms for a minute of audio."
    )
    head_alone = ["recording", "MB sent a minute", "requests", "CPU, ms a minute"]
    return "\n\n".join(
        [
            "## Minutes of audio",
            note,
            _table([head, *cells]),
            "The parser alone, one recording after the other, no latency:",
            _table([head_alone, *alone]),
        ]
    )


def _start_ray() -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=200 * 2**20,
    )
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "| --- " + "| ---: " * (len(rows[0]) - 1) + "|", *lines[1:]])


PARTS: dict[str, Callable[[], str]] = {"rows": rows, "audio": recordings, "memory": memory}
