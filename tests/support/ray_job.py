"""A job that a test can run itself, or in a process that it kills."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
from support.row_server import RowServer

from langchain_voxtral.ray import complete

ROWS_PER_BATCH = 32
PROMPTS = [f"row {number}" for number in range(4 * ROWS_PER_BATCH)]
"""The prompts of four batches."""
_SCRIPT = """
import sys
import ray
from support.ray_job import answer_prompts
address, url, folder = sys.argv[1:]
ray.init(address=address, logging_level="ERROR")
answer_prompts(url, folder)
"""


def answer_prompts(url: str, folder: str) -> list[dict[str, Any]]:
    """Answer `PROMPTS`, all at once, and return the rows of the folder in a fixed order."""
    ds = complete(
        ray.data.from_arrow(pa.table({"prompt": PROMPTS})),
        "prompt",
        output=folder,
        base_url=url,
        num_actors=2,
        max_in_flight=4 * len(PROMPTS),
        max_retries=0,
        timeout=300,
    )
    return sorted(ds.take_all(), key=lambda row: str(row["prompt"]))


def start_driver(url: str, folder: str) -> subprocess.Popen[bytes]:
    """Run `answer_prompts` on the cluster of this process, in a process of its own."""
    address = ray.get_runtime_context().gcs_address
    return subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", _SCRIPT, address, url, folder],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    """Block until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s"
        time.sleep(0.02)


def wait_for_first_batch(server: RowServer, folder: Path) -> None:
    """Block until every row is requested and the first batch is written."""
    server.wait_for_requests(len(PROMPTS))
    wait_until(lambda: list(folder.glob("answers-*")), server.timeout_seconds)


def check_rows(rows: list[dict[str, Any]], folder: Path) -> None:
    """Check that the folder has each row once, and nothing else."""
    assert Counter(row["prompt"] for row in rows) == Counter(PROMPTS)
    assert {row["text"] for row in rows} == {f"Answer to {prompt}" for prompt in PROMPTS}
    assert len({row["key"] for row in rows}) == len(PROMPTS)
    files = [file for file in folder.iterdir() if not file.name.startswith(".")]
    assert sum(pq.read_metadata(file).num_rows for file in files) == len(PROMPTS)


def actors_of(server: RowServer) -> dict[psutil.Process, set[int]]:
    """Return the processes of this one's cluster that sent requests, with their ports."""
    ports = {request.connection.port for request in server.requests}
    actors = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended, or is about to
            own = {one.laddr.port for one in process.net_connections() if one.laddr}
            if own & ports:
                actors[process] = own & ports
    return actors


def workers() -> list[str]:
    """Return the names of the processes of this one's cluster."""
    names = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            names += process.cmdline()[:1]
    return names


def rows_of(server: RowServer, ports: set[int]) -> set[str]:
    """Return the rows that were requested from these ports."""
    return {server.row_of(one) for one in server.requests if one.connection.port in ports}
