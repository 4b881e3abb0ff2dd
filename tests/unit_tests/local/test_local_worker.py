"""The queue of the engine."""

import threading

import pytest

from langchain_voxtral.local.engine.scheduler import Scheduler
from langchain_voxtral.local.errors import ErrorResponse


class Recorded:
    """A job that notes that it ran, after a gate if it has one."""

    def __init__(self, name: str, log: list[str], gate: threading.Event | None = None) -> None:
        self.name, self.log, self.gate = name, log, gate
        self.started = threading.Event()
        self.done = threading.Event()

    def run(self) -> None:
        self.started.set()
        if self.gate:
            assert self.gate.wait(10)
        self.log.append(self.name)
        self.done.set()

    def abort(self) -> None:
        self.log.append(f"{self.name} aborted")
        if self.gate:
            self.gate.set()


def busy_worker(log: list[str], queue_size: int = 16) -> tuple[Scheduler, Recorded]:
    worker, running = Scheduler(queue_size), Recorded("running", log, threading.Event())
    worker.submit(running)
    assert running.started.wait(10)
    return worker, running


def test_jobs_run_in_order_of_arrival() -> None:
    log: list[str] = []
    worker, running = busy_worker(log)
    jobs = [Recorded(str(number), log) for number in range(4)]
    for job in jobs:
        worker.submit(job)
    assert running.gate
    running.gate.set()
    assert jobs[-1].done.wait(10)
    worker.close(10)
    assert log == ["running", "0", "1", "2", "3"]


def test_a_full_queue_refuses_until_a_slot_is_free() -> None:
    log: list[str] = []
    worker, _ = busy_worker(log, queue_size=1)
    waiting = Recorded("waiting", log)
    worker.submit(waiting)
    with pytest.raises(ErrorResponse) as caught:
        worker.submit(Recorded("too many", log))
    assert (caught.value.status, caught.value.headers) == (429, {"retry-after": "1"})
    assert caught.value.body == {
        "error": {
            "message": "Model busy, retry later",
            "type": "invalid_request_error",
            "param": None,
            "code": "engine_overloaded",
        }
    }
    worker.withdraw(waiting)
    worker.submit(Recorded("next", log))
    worker.close(10)
    assert log == ["next aborted", "running aborted", "running"]


def test_an_idle_worker_takes_a_job_even_without_a_queue() -> None:
    log: list[str] = []
    worker, running = busy_worker(log, queue_size=0)
    with pytest.raises(ErrorResponse):
        worker.submit(Recorded("too many", log))
    assert running.gate
    running.gate.set()
    worker.close(10)
    assert "running" in log


def test_a_closed_worker_takes_no_jobs() -> None:
    worker = Scheduler(1)
    worker.close(10)
    with pytest.raises(ErrorResponse) as caught:
        worker.submit(Recorded("late", []))
    assert caught.value.status == 503
