"""Soak: many streams at once against a server that fails now and then.

Every answer must be whole or an error, none short, and memory must stay flat. The server runs
in a process of its own on loopback; a share of its answers fails in one of the ways in `FAULTS`.

    python benchmarks/soak.py --seconds 60 --streams 64 --faults 0.05

Prints a report in Markdown; exit status 1 if any answer was short.
"""

import argparse
import asyncio
import json
import logging
import multiprocessing
import random
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import VoxtralError

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MOST_TOKENS = 200
FAULTS = ("reset", "clean end", "error event", "503", "429", "reset before the answer", "stall")


def words(count: int) -> list[str]:
    """Return the tokens of an answer, each of which tells its place."""
    return [f"w{place} " for place in range(count)]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float) -> None:
    """Answer the requests of one connection: the prompt's number says how many tokens."""
    try:
        while True:
            body = await request(reader)
            prompt = body["input"]
            count = int(prompt.partition("tokens=")[2].partition(";")[0])
            # What follows the open assistant header was sent before: a resumed request.
            sent = len(prompt.rpartition("<|end_header_id|>\n\n")[2].split())
            fault = random.choice(FAULTS) if random.random() < rate else None  # noqa: S311
            await play(writer, words(count)[sent:], fault)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def request(reader: asyncio.StreamReader) -> dict[str, str]:
    """Read one request, return its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    body: dict[str, str] = json.loads(await reader.readexactly(length))
    return body


async def play(writer: asyncio.StreamWriter, tokens: list[str], fault: str | None) -> None:
    """Stream the tokens, or as many as the fault lets through."""
    if fault in ("503", "429"):
        writer.write(
            f"HTTP/1.1 {fault} Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n".encode()
        )
        await writer.drain()
        return
    if fault == "reset before the answer":
        writer.transport.abort()
        raise ConnectionError
    writer.write(HEAD)
    cut = None if fault is None else random.randrange(len(tokens) + 1)  # noqa: S311
    for place, token in enumerate(tokens):
        if place == cut:
            break
        event = {"token": {"id": place, "text": token, "logprob": -0.1, "special": False}}
        send(writer, event)
        await writer.drain()
        await asyncio.sleep(0)
    if fault == "reset":
        writer.transport.abort()
        raise ConnectionError
    if fault == "stall":
        await asyncio.sleep(3)
        writer.transport.abort()
        raise ConnectionError
    if fault == "error event":
        send(writer, {"error": {"message": "CUDA out of memory"}})
    if fault is None:
        numbers = {"num_output_tokens": len(tokens), "num_input_tokens": 9, "estimated_cost": 1e-6}
        last = {"token": {"id": 0, "text": "", "special": True}}
        send(writer, last | {"details": {"finish_reason": "stop"}} | numbers)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def send(writer: asyncio.StreamWriter, event: object) -> None:
    """Write one event as one HTTP chunk."""
    data = b"data: " + json.dumps(event).encode() + b"\n\n"
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


def serve(address: Connection, rate: float) -> None:
    """Serve until killed; tell the port first."""

    async def run() -> None:
        server = await asyncio.start_server(
            lambda reader, writer: answer(reader, writer, rate), "127.0.0.1", 0, backlog=1024
        )
        address.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@dataclass
class Tally:
    """What came of the streams."""

    outcomes: Counter[str] = field(default_factory=Counter)
    short: list[str] = field(default_factory=list)
    resumed: int = 0
    tokens: int = 0
    memory: list[float] = field(default_factory=list)


async def ask_until(chat: ChatVoxtral, end: float, tally: Tally) -> None:
    """Ask again and again; check every answer and every partial text."""
    while time.monotonic() < end:
        count = random.randint(1, MOST_TOKENS)  # noqa: S311
        texts: list[str] = []
        try:
            async for chunk in chat.astream(f"tokens={count};"):
                texts.append(chunk.text)
                resumes = chunk.response_metadata.get("resumes", 0)
        except VoxtralError as error:
            tally.outcomes[type(error).__name__] += 1
            whole = "".join(words(count))
            if "".join(texts) != error.partial or not whole.startswith(error.partial):
                tally.short.append(f"the partial text is wrong: {error.partial!r}")
        else:
            tally.outcomes["whole"] += 1
            tally.resumed += resumes > 0
            tally.tokens += count
            if "".join(texts) != "".join(words(count)):
                tally.short.append(f"{count} tokens asked, got {''.join(texts)!r}")


def resident_mebibytes() -> float:
    """Return the memory that this process holds (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def watch_memory(end: float, tally: Tally) -> None:
    """Note the resident memory in MiB, some sixty times."""
    step = max(0.2, (end - time.monotonic()) / 60)
    while time.monotonic() < end:
        tally.memory.append(resident_mebibytes())
        await asyncio.sleep(step)


async def soak(port: int, options: argparse.Namespace) -> Tally:
    """Run the streams to their end."""
    tally = Tally()
    end = time.monotonic() + options.seconds
    async with ChatVoxtral(
        base_url=f"http://127.0.0.1:{port}/v1",
        max_stream_resumes=options.resumes,
        stream_idle_timeout=1.0,
    ) as chat:
        streams = [ask_until(chat, end, tally) for _ in range(options.streams)]
        await asyncio.gather(watch_memory(end, tally), *streams)
    return tally


def report(tally: Tally, options: argparse.Namespace) -> str:
    """Return the report in Markdown."""
    total = sum(tally.outcomes.values())
    quarter = max(1, len(tally.memory) // 4)
    early, late = tally.memory[quarter : 2 * quarter], tally.memory[-quarter:]
    rows = [f"| {name} | {number} |" for name, number in tally.outcomes.most_common()]
    settings = (
        f"{options.streams} streams at once for {options.seconds:g} s, fault rate "
        f"{options.faults:.0%}, max_stream_resumes={options.resumes}: {total} answers, "
        f"{tally.tokens} tokens in whole ones."
    )
    memory = (
        f"Resident memory: {sum(early) / len(early):.1f} MiB in the second quarter of the time, "
        f"{sum(late) / len(late):.1f} MiB in the last."
    )
    return "\n".join(
        [
            settings,
            "",
            "| outcome | answers |",
            "| --- | --- |",
            *rows,
            f"| (whole ones that were resumed) | {tally.resumed} |",
            f"| **short or wrong** | **{len(tally.short)}** |",
            "",
            memory,
        ]
    )


def main() -> int:
    """Run the soak and print its report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--faults", type=float, default=0.05)
    parser.add_argument("--resumes", type=int, default=0)
    options = parser.parse_args()
    logging.getLogger("langchain_voxtral").setLevel(logging.ERROR)
    address, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs, options.faults), daemon=True)
    server.start()
    try:
        tally = asyncio.run(soak(address.recv(), options))
    finally:
        server.kill()
    print(report(tally, options))
    print(*tally.short[:5], sep="\n")
    return 1 if tally.short else 0


if __name__ == "__main__":
    sys.exit(main())
