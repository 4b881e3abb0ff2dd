"""The rows of the comparison that one process measures: what is called, and its price."""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.server import WORD

Texts = list[Any]
"""Texts as a client returns them, or the bytes that a floor received."""


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        name: What the table calls it.
        unit: What one figure is the price of.
        method: What of a client is called; a client without it has no figure.
        measure: Calls a client, and returns the texts and the microseconds of one unit.
        tokens: Tokens of each response.
        mode: How the server sends tokens.
    """

    name: str
    unit: str
    method: str
    measure: Callable[["Row", Any], Awaitable[tuple[Texts, float]]]
    tokens: int
    mode: str = "burst"


async def _stream(row: Row, client: Any) -> tuple[Texts, float]:
    start = time.process_time()
    parts = list(getattr(client, row.method)())
    taken = time.process_time() - start
    return [parts[0][:0].join(parts)], taken / row.tokens * 1e6


async def _read_async(client: Any) -> Any:
    parts = [part async for part in client.astream()]
    return parts[0][:0].join(parts)


def _astreams(count: int) -> Any:
    async def measure(row: Row, client: Any) -> tuple[Texts, float]:
        start = time.process_time()
        texts = await asyncio.gather(*(_read_async(client) for _ in range(count)))
        return texts, (time.process_time() - start) / (row.tokens * count) * 1e6

    return measure


def _invokes(count: int) -> Any:
    async def measure(_row: Row, client: Any) -> tuple[Texts, float]:
        start = time.process_time()
        texts = [client.invoke() for _ in range(count)]
        return texts, (time.process_time() - start) / count * 1e6

    return measure


def _ainvokes(count: int) -> Any:
    async def measure(_row: Row, client: Any) -> tuple[Texts, float]:
        start = time.process_time()
        texts = [await client.ainvoke() for _ in range(count)]
        return texts, (time.process_time() - start) / count * 1e6

    return measure


def _batch(count: int) -> Any:
    async def measure(_row: Row, client: Any) -> tuple[Texts, float]:
        start = time.process_time()
        texts = await client.abatch(count)
        return texts, (time.process_time() - start) / count * 1e6

    return measure


def _first_token(count: int) -> Any:
    async def measure(_row: Row, client: Any) -> tuple[Texts, float]:
        texts, waits = [], []
        for _ in range(count):
            start = time.perf_counter()
            parts = client.stream()
            first = next(parts)
            waits.append(time.perf_counter() - start)
            texts.append(first[:0].join([first, *parts]))
        return texts, statistics.median(waits) * 1e6

    return measure


def rows(*, is_full: bool) -> list[Row]:
    """Return the rows; the full ones do more work, and have more streams and longer ones."""
    burst, paced, calls = (2000, 300, 60) if is_full else (1000, 150, 30)
    at_once = (1, 16, 64, 256) if is_full else (1, 32)
    lengths = (200, 2000, 20_000) if is_full else (200, 4000)
    return [
        Row("burst, stream", "token", "stream", _stream, burst),
        Row("burst, astream", "token", "astream", _astreams(1), burst),
        Row("one read a token, stream", "token", "stream", _stream, paced, "paced"),
        Row("one read a token, astream", "token", "astream", _astreams(1), paced, "paced"),
        Row("4 KiB a read, stream", "token", "stream", _stream, burst, "proxy"),
        Row("4 KiB a read, astream", "token", "astream", _astreams(1), burst, "proxy"),
        Row("invoke", "call", "invoke", _invokes(calls), 100),
        Row("ainvoke", "call", "ainvoke", _ainvokes(calls), 100),
        Row("abatch of 32", "row", "abatch", _batch(32), 100),
        *(Row(f"{n} astreams at once", "token", "astream", _astreams(n), 100) for n in at_once),
        *(Row(f"stream of {n:,} tokens", "token", "stream", _stream, n) for n in lengths),
        Row("stream with a callback", "token", "stream_with_callback", _stream, burst),
        Row('stream, output_version="v1"', "token", "stream_v1", _stream, burst),
        Row("stream_events, v3", "token", "stream_events", _stream, burst),
        Row("first token (wall time)", "call", "stream", _first_token(10), 20),
    ]


async def measure(row: Row, client: Any) -> float:
    """Return the microseconds of one unit.

    Raises:
        ValueError: A text is not what the server sent.
    """
    gc.collect()
    texts, microseconds = await row.measure(row, client)
    for text in texts:
        # Of a floor's bytes, each token's event has the word once.
        arrived = text.count(WORD if isinstance(text, str) else WORD.encode())
        if arrived != row.tokens:
            raise ValueError(f"{row.name}: {arrived} of {row.tokens} tokens arrived")
    return microseconds
