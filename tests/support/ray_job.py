"""A job that a test can run itself, or in a process that it kills."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
from support.row_server import RowServer
from support.scripted_server import TIMEOUT_SECONDS

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


def wait_for_first_batch(server: RowServer, folder: Path) -> None:
    """Block until every row is requested and the first batch is written."""
    server.wait_for_requests(len(PROMPTS))
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not list(folder.glob("answers-*")):
        assert time.monotonic() < deadline, f"nothing is written after {TIMEOUT_SECONDS} s"
        time.sleep(0.02)


def check_rows(rows: list[dict[str, Any]], folder: Path) -> None:
    """Check that the folder has each row once, and nothing else."""
    assert Counter(row["prompt"] for row in rows) == Counter(PROMPTS)
    assert {row["text"] for row in rows} == {f"Answer to {prompt}" for prompt in PROMPTS}
    assert len({row["key"] for row in rows}) == len(PROMPTS)
    files = [file for file in folder.iterdir() if not file.name.startswith(".")]
    assert sum(pq.read_metadata(file).num_rows for file in files) == len(PROMPTS)


def actor_of(server: RowServer, row: str) -> tuple[psutil.Process, set[int]]:
    """Return the process that sent a row, and the ports of its connections."""
    [port] = [one.connection.port for one in server.requests if server.row_of(one) == row]
    for process in psutil.Process().children(recursive=True):
        ports = {one.laddr.port for one in process.net_connections() if one.laddr}
        if port in ports:
            assert process.cmdline()[0].startswith("ray::MapWorker")
            return process, ports
    raise AssertionError(row)
