"""Builders of faults and outcomes for the tables of this package."""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from support.faults.runner import REQUEST_ID, Case, Fault, Outcome
from support.scripted_server import Repeat, Reply, Step
from support.sse_replies import events, json_reply, streamed, token, whole

COSTS = {False: 0.0000436, True: 0.0000386}
"""The cost in USD that a ready-made reply reports, by whether it streams."""

AT_ONCE = {"retry-after": "0"}
JSON_HEAD = {"content-type": "application/json"}
MIB = b"x" * 2**20
SHORT = 0.25
"""The time limit in seconds for a server that sends nothing. No outcome depends on its length."""

# Only where a limit fails does a call last until the deadline.
SILENCE = {"timeout": SHORT, "stream_idle_timeout": SHORT, "deadline": 20}


def fine(streaming: bool) -> Reply:
    """Return a response without a fault."""
    return streamed("Hello", "!") if streaming else whole("Hello!")


def succeeds(streaming: bool, text: str = "Hello!", **facts: Any) -> Outcome:
    """Return the outcome of a call that succeeds, cost included."""
    known: dict[str, Any] = {"info": {"cost": COSTS[streaming]}} | facts
    return Outcome(text, **known)


def fails(error: type[Exception], *says: str, requests: int = 1, **facts: Any) -> Outcome:
    """Return the outcome of a call that raises after this many requests."""
    known: dict[str, Any] = {"attempts": requests, "request_id": REQUEST_ID} | facts
    return Outcome(error=error, says=says, requests=requests, **known)


def breaks(error: type[Exception], *says: str, text: str = "Hello", **facts: Any) -> Outcome:
    """Return the outcome of a stream that raises after some text, which the error keeps."""
    return fails(error, *says, text=text, partial=text, **facts)


def both(name: str, replies: Sequence[Reply], outcome: Outcome, **fields: Any) -> Fault:
    """Return a fault that is the same whether the answer streams or not."""
    case = Case(replies, outcome, **fields)
    return Fault(name, case, case)


def recovers(name: str, *failed: Reply, **case: Any) -> Fault:
    """Return a fault that retries overcome."""
    requests = len(failed) + 1
    kinds = (
        Case([*failed, fine(kind)], succeeds(kind, requests=requests, attempts=requests), **case)
        for kind in (False, True)
    )
    return Fault(name, *kinds)


def refused(status: int, body: object, error: type[Exception], *says: str) -> Fault:
    """Return an error status that is not retried."""
    reply = json_reply(body, status=status, headers=AT_ONCE)
    return both(f"{status}: {says[0]:.40}", [reply], fails(error, f"status {status}", *says))


def reported(body: object, error: type[Exception], *says: str) -> Fault:
    """Return an error in the body of a response with status 200."""
    name = f"200 with {json.dumps(body):.38}"
    return both(name, [json_reply(body)], fails(error, *says))


def invoked(body: bytes, headers: Mapping[str, str] = JSON_HEAD) -> list[Reply]:
    """Return one unstreamed response with this body."""
    return [Reply(headers=headers, body=body)]


def ends_in(*steps: Step) -> list[Reply]:
    """Return one stream: the token "Hello", then these steps."""
    return [events(token("Hello"), *steps)]


def gzip_bomb() -> bytes:
    """Return 1 GiB of zeros, compressed to 1 MiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(2**23)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 128


def in_single_bytes(data: bytes, pause: float = 0.0) -> list[Step]:
    """Return steps that send each byte in a chunk of its own."""
    return [Repeat(bytes([byte]), pause, times=1) for byte in data]
