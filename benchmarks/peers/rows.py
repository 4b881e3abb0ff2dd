"""The rows of the comparison that one process measures: what is called, and how often."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

Parts = list[Any]
"""What one call brought: texts, or the bytes that a floor read."""
Outcome = tuple[list[Parts], list[float]]
"""The parts of each call, and the seconds that single calls took."""
PACED = "one read a token"
"""What the name of a row begins with whose tokens arrive one by one."""


async def stream(client: Any, method: str, prompt: str, count: int) -> Outcome:
    """Read streams, one after the other."""
    return [list(getattr(client, method)(prompt)) for _ in range(count)], []


async def astreams(client: Any, method: str, prompt: str, count: int) -> Outcome:
    """Read streams at once."""

    async def read() -> tuple[Parts, float]:
        start = time.perf_counter()
        parts = [part async for part in getattr(client, method)(prompt)]
        return parts, time.perf_counter() - start

    results = await asyncio.gather(*(read() for _ in range(count)))
    return [parts for parts, _ in results], [seconds for _, seconds in results]


async def first_tokens(client: Any, method: str, prompt: str, count: int) -> Outcome:
    """Read streams, one after the other; the seconds are those to each first token."""
    texts, waits = [], []
    for _ in range(count):
        start = time.perf_counter()
        parts = getattr(client, method)(prompt)
        first = next(parts)
        waits.append(time.perf_counter() - start)
        texts.append([first, *parts])
    return texts, waits


async def first_tokens_async(client: Any, method: str, prompt: str, count: int) -> Outcome:
    """Read streams, one after the other; the seconds are those to each first token."""
    texts, waits = [], []
    for _ in range(count):
        start = time.perf_counter()
        parts = getattr(client, method)(prompt)
        first = await anext(parts)
        waits.append(time.perf_counter() - start)
        texts.append([first, *[part async for part in parts]])
    return texts, waits


async def invokes(client: Any, method: str, prompt: str, count: int) -> Outcome:
    """Call, one after the other."""
    return [[getattr(client, method)(prompt)] for _ in range(count)], []


async def ainvokes(client: Any, method: str, prompt: str, count: int) -> Outcome:
    """Call, one after the other."""
    return [[await getattr(client, method)(prompt)] for _ in range(count)], []


async def batch(client: Any, method: str, prompt: str, count: int) -> Outcome:
    """Call at once, by threads."""
    return [[text] for text in getattr(client, method)([prompt] * count)], []


async def abatch(client: Any, method: str, prompt: str, count: int) -> Outcome:
    """Call at once."""
    return [[text] for text in await getattr(client, method)([prompt] * count)], []


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        name: What the tables call it.
        unit: What a figure is the price of: a token, or a call.
        call: Calls a client `count` times.
        method: What of a client is called; a client without it has no figure.
        tokens: Tokens of each response.
        count: Calls of one measurement.
        mode: How the server sends tokens.
        max_rounds: The most rounds, of rows that take long.
        headline: The metric that clients are compared by.
    """

    name: str
    unit: str
    call: Callable[[Any, str, str, int], Awaitable[Outcome]]
    method: str
    tokens: int
    count: int = 1
    mode: str = "burst"
    max_rounds: int = 1000
    headline: str = "cpu"

    @property
    def is_parallel(self) -> bool:
        """Whether the calls are made at once."""
        return self.call in (astreams, batch, abatch)


def rows(*, is_full: bool) -> list[Row]:
    """Return the rows; the full ones have more streams at once, and longer ones."""
    burst, some, few = (1000, 1000, 6) if is_full else (500, 3, 1)
    return [
        Row("burst, stream", "token", stream, "stream", burst),
        Row("burst, astream", "token", astreams, "astream", burst),
        Row(f"{PACED}, stream", "token", stream, "stream", 60, mode="paced"),
        Row(f"{PACED}, astream", "token", astreams, "astream", 60, mode="paced"),
        Row("4 KiB a read, stream", "token", stream, "stream", burst, mode="proxy"),
        Row("4 KiB a read, astream", "token", astreams, "astream", burst, mode="proxy"),
        Row("invoke", "call", invokes, "invoke", 100, 15),
        Row("ainvoke", "call", ainvokes, "ainvoke", 100, 15),
        Row("batch of 32", "call", batch, "batch", 100, 32),
        Row("abatch of 32", "call", abatch, "abatch", 100, 32),
        _at_once(1),
        *((_at_once(16),) if is_full else ()),
        _at_once(32, some),
        *((_at_once(64, few), _at_once(256, 3)) if is_full else ()),
        Row("stream of 200 tokens", "token", stream, "stream", 200, 3),
        Row("stream of 2,000 tokens", "token", stream, "stream", 2000, max_rounds=some),
        Row("stream of 20,000 tokens", "token", stream, "stream", 20_000, max_rounds=few),
        Row("stream with a callback", "token", stream, "stream_with_callback", burst),
        Row("stream with a tracer", "token", stream, "stream_traced", burst),
        Row("stream of v1 content", "token", stream, "stream_v1", burst),
        Row("stream of v3 events", "token", stream, "stream_events", burst),
        Row("first token, stream", "call", first_tokens, "stream", 10, 10, headline="p50_ms"),
        Row(
            "first token, astream", "call", first_tokens_async, "astream", 10, 10, headline="p50_ms"
        ),
    ]


def _at_once(count: int, max_rounds: int = 1000) -> Row:
    name = f"streams at once: {count}"
    return Row(name, "token", astreams, "astream", 100, count, max_rounds=max_rounds)
