"""A server that answers each row of a dataset by its content, and counts."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from support import sse_replies
from support.scripted_server import Gate, ReceivedRequest, Reply, ScriptedServer
from support.transcription_calls import transcription_reply


class RowServer(ScriptedServer):
    """Answers "Answer to ROW", or as a table says, to any number of requests at the same time.

    Args:
        rows: Replies to a row in order, the last one for all others.
        recordings: The bytes of the recordings of rows; the row of a completion is its prompt.
        held: Rows that are not answered before `release()`; None holds all of them.

    Attributes:
        peak: The most requests that waited for an answer at the same time.
    """

    timeout_seconds = 120.0  # the processes of a cluster take long to start on a busy machine

    def __init__(
        self,
        rows: Mapping[str, Sequence[Reply]] | None = None,
        *,
        recordings: Mapping[str, bytes] | None = None,
        held: Collection[str] | None = (),
    ) -> None:
        super().__init__()
        self._rows = {row: list(replies) for row, replies in (rows or {}).items()}
        self._recordings = recordings or {}
        self._held = held
        self._gate = Gate()
        self._in_flight = self.peak = 0

    def release(self) -> None:
        """Answer the rows that are held, and those that come."""
        self._gate.open()

    @property
    def counts(self) -> Counter[str]:
        """The number of requests of each row."""
        return Counter(map(self.row_of, self.requests))

    def row_of(self, request: ReceivedRequest) -> str:
        """Return the row that a request is of."""
        if isinstance(request.body, bytes):
            [row] = [name for name, data in self._recordings.items() if data in request.body]
            return row
        prompt: str = request.body["input"].rpartition("user<|end_header_id|>\n\n")[2]
        return prompt.partition("<|eot_id|>")[0]

    def _reply_to(self, request: ReceivedRequest) -> Reply:
        row = self.row_of(request)
        self._in_flight += 1
        self.peak = max(self.peak, self._in_flight)
        is_held = self._held is None or row in self._held
        return replace(self._next(row), steps=[_Turn(self, self._gate if is_held else None)])

    def _next(self, row: str) -> Reply:
        if replies := self._rows.get(row):
            return replies.pop(0) if len(replies) > 1 else replies[0]
        text = f"Answer to {row}"
        return transcription_reply(text) if row in self._recordings else sse_replies.whole(text)

    def leave(self) -> None:
        """Count a request less: it is about to be answered, or its client is gone."""
        self._in_flight -= 1


class _Turn(Gate):
    """A step at which a request waits for its turn, and from which on it is not in flight."""

    def __init__(self, server: RowServer, gate: Gate | None) -> None:
        super().__init__()
        self._server = server
        self._gate = gate

    async def wait(self) -> None:
        try:
            if self._gate is not None:
                await self._gate.wait()
        finally:
            self._server.leave()
