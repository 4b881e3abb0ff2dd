"""The moments at which a call waits for what a server does not give, to stop it just there."""

import logging
import threading
from typing import Self

import pytest
from support.call_modes import Model, text_of
from support.scripted_server import PATIENCE, End, Reply, ScriptedServer
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
awaiting = pytest.mark.parametrize(("reply", "streaming"), _AWAITED.values(), ids=_AWAITED)
"""What a server does so that a call waits, and whether that call streams."""


class Moment(logging.Handler):
    """Comes when a call waits, as the server, our log or the reader of a stream tells.

    Args:
        server: The server that is called.
        reply: What it does, of those in `awaiting`.

    Example:
        ```python
        with ScriptedServer(OPEN) as server, Moment(server, OPEN) as moment:
            task = asyncio.create_task(moment.acall(model, streaming=True))
            await asyncio.to_thread(moment.wait)
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
        """Take note of a pause that the log tells of."""
        self._paused.set()

    def wait(self) -> None:
        """Block until it has come."""
        self._server.await_requests(1)
        if self._reply is BUSY:
            assert self._paused.wait(PATIENCE)
        if self._reply is OPEN:
            assert self._shown.wait(PATIENCE)

    def call(self, model: Model, *, streaming: bool) -> None:
        """Call the model."""
        if not streaming:
            model.invoke("Hello!")
            return
        for chunk in model.stream("Hello!"):
            assert text_of(chunk) == "Hel"
            self._shown.set()

    async def acall(self, model: Model, *, streaming: bool) -> None:
        """Call the model in this loop."""
        if not streaming:
            await model.ainvoke("Hello!")
            return
        async for chunk in model.astream("Hello!"):
            assert text_of(chunk) == "Hel"
            self._shown.set()
