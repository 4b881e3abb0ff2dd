"""Ctrl-C ends a call wherever it waits."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.blocking_points import BUSY, BlockingPoint, at_each_blocking_point
from support.call_modes import Model, text_of
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import whole
from support.transports import on_each_transport

pytestmark = pytest.mark.usefixtures("_no_open_sockets")

FINE = whole("Hello!")
Press = Callable[[BlockingPoint], None]
MAIN_STATE = Path(f"/proc/self/task/{os.getpid()}/stat")
"""The state of the main thread, as Linux reports it."""


def _is_asleep(_: int) -> bool:
    return MAIN_STATE.read_text(encoding="ascii").rpartition(") ")[2].startswith("S")


@pytest.fixture
def press() -> Iterator[Press]:
    """Send Ctrl-C at a blocking point to the main thread, in which pytest runs the test."""
    main = threading.main_thread().ident
    assert main is not None
    pressing: list[threading.Thread] = []

    def wait_and_press(point: BlockingPoint) -> None:
        point.wait()
        # A signal just before the blocking system call is only handled after it.
        while MAIN_STATE.exists() and not all(map(_is_asleep, range(3))):
            pass
        signal.pthread_kill(main, signal.SIGINT)

    def begin(point: BlockingPoint) -> None:
        thread = threading.Thread(target=wait_and_press, args=[point])
        pressing.append(thread)
        thread.start()

    yield begin
    for thread in pressing:
        thread.join()


def is_over(server: ScriptedServer, model: Model) -> None:
    """Check that the connections are closed, nothing was retried, and a new call works."""
    server.wait_until_disconnected()
    assert len(server.requests) == 1
    assert text_of(model.invoke("Hello!")) == "Hello!"
    model.close()


@at_each_blocking_point
def test_ctrl_c_ends_a_call(
    model_class: type[Model], reply: Reply, streaming: bool, press: Press
) -> None:
    with ScriptedServer(reply, FINE) as server, BlockingPoint(server, reply) as point:
        model = model_class(base_url=server.url, deadline=60)
        press(point)
        with pytest.raises(KeyboardInterrupt):
            point.call(model, streaming=streaming)
        if reply is BUSY:  # the connection is idle in the pool
            model.close()
        is_over(server, model)


@on_each_transport
@at_each_blocking_point
def test_ctrl_c_ends_a_loop(
    model_class: type[Model], reply: Reply, streaming: bool, press: Press
) -> None:
    with ScriptedServer(reply, FINE) as server, BlockingPoint(server, reply) as point:
        model = model_class(base_url=server.url)
        press(point)
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(point.acall(model, streaming=streaming))
        is_over(server, model)
