"""The points at which a call waits for a server, so that tests can stop it there."""

import logging
import threading
from typing import Self

import pytest
from support.call_modes import Model, text_of
from support.scripted_server import TIMEOUT_SECONDS, End, Reply, ScriptedServer
from support.sse_replies import events, json_reply, token

OPEN = events(token("Hel"), End.STALL)
BUSY = json_reply({"error": "busy"}, status=429, headers={"retry-after": "30"})
_SILENT = events(End.STALL)
_BEGUN = events(b"", End.STALL)
_HALF = Reply(headers={"content-type": "application/json"}, steps=[b'{"results": [', End.STALL])

_AWAITED = {
    "the head of an answer": (_SILENT, False),
    "the rest of an answer": (_HALF, False),
    "the next attempt": (BUSY, False),
    "the head of a stream": (_SILENT, True),
    "the first token": (_BEGUN, True),
    "the next token": (OPEN, True),
    "the next attempt to stream": (BUSY, True),
}
at_each_blocking_point = pytest.mark.parametrize(
    ("reply", "streaming"), _AWAITED.values(), ids=_AWAITED
)
"""The reply that makes a call wait, and whether that call streams."""


class BlockingPoint(logging.Handler):
    """Detects that a call waits, from the server, our log or the reader of a stream.

    Args:
        server: The server that is called.
        reply: Its reply, one of `at_each_blocking_point`.

    Example:
        ```python
        with ScriptedServer(OPEN) as server, Moment(server, OPEN) as point:
            task = asyncio.create_task(point.acall(model, streaming=True))
            await asyncio.to_thread(point.wait)
            task.cancel()
        ```
    """

    def __init__(self, server: ScriptedServer, reply: Reply) -> None:
        super().__init__()
        self._server = server
        self._reply = reply
        self._paused = threading.Event()
        self._shown = threading.Event()

    def __enter__(self) -> Self:
        logging.getLogger("langchain_voxtral").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("langchain_voxtral").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Record that the log reports a pause."""
        self._paused.set()

    def wait(self) -> None:
        """Block until the call waits."""
        self._server.wait_for_requests(1)
        if self._reply is BUSY:
            assert self._paused.wait(TIMEOUT_SECONDS)
        if self._reply is OPEN:
            assert self._shown.wait(TIMEOUT_SECONDS)

    def call(self, model: Model, *, streaming: bool) -> None:
        """Call the model."""
        if not streaming:
            model.invoke("Hello!")
            return
        for chunk in model.stream("Hello!"):
            assert text_of(chunk) == "Hel"
            self._shown.set()

    async def acall(self, model: Model, *, streaming: bool) -> None:
        """Call the model asynchronously."""
        if not streaming:
            await model.ainvoke("Hello!")
            return
        async for chunk in model.astream("Hello!"):
            assert text_of(chunk) == "Hel"
            self._shown.set()
