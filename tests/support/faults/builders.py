"""Kinds of faults and of outcomes, from which `table.py` makes its table."""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from support.faults.runner import REQUEST_ID, Fault, Outcome, Scene
from support.scripted_server import Repeat, Reply, Step
from support.sse_replies import events, json_reply, streamed, token, whole

COSTS = {False: 0.0000436, True: 0.0000386}
"""USD that a ready-made reply tells, by whether it streams."""

AT_ONCE = {"retry-after": "0"}
JSON_HEAD = {"content-type": "application/json"}
MIB = b"x" * 2**20
SHORT = 0.25
"""Seconds of the time limit where a server falls silent. No outcome depends on its length."""

# Only where a limit fails does a call last until the deadline.
SILENCE = {"timeout": SHORT, "stream_idle_timeout": SHORT, "deadline": 20}


def fine(streaming: bool) -> Reply:
    """Return an answer in order."""
    return streamed("Hello", "!") if streaming else whole("Hello!")


def succeeds(streaming: bool, text: str = "Hello!", **facts: Any) -> Outcome:
    """Return the outcome of a call that gets its answer, cost included."""
    told: dict[str, Any] = {"info": {"cost": COSTS[streaming]}} | facts
    return Outcome(text, **told)


def fails(error: type[Exception], *says: str, posts: int = 1, **facts: Any) -> Outcome:
    """Return the outcome of a call that raises, having been sent so many times."""
    told: dict[str, Any] = {"attempts": posts, "request_id": REQUEST_ID} | facts
    return Outcome(error=error, says=says, posts=posts, **told)


def breaks(error: type[Exception], *says: str, text: str = "Hello", **facts: Any) -> Outcome:
    """Return the outcome of a stream that raises after some text, which the error keeps."""
    return fails(error, *says, text=text, partial=text, **facts)


def both(name: str, replies: Sequence[Reply], outcome: Outcome, **scene: Any) -> Fault:
    """Return a fault that is the same whether the answer streams or not."""
    met = Scene(replies, outcome, **scene)
    return Fault(name, met, met)


def passes(name: str, *failed: Reply, **scene: Any) -> Fault:
    """Return a fault that goes by: the request is sent again until it is answered."""
    posts = len(failed) + 1
    kinds = (
        Scene([*failed, fine(kind)], succeeds(kind, posts=posts, attempts=posts), **scene)
        for kind in (False, True)
    )
    return Fault(name, *kinds)


def refused(status: int, body: object, error: type[Exception], *says: str) -> Fault:
    """Return a refusal that stays: it is sent once and raised."""
    reply = json_reply(body, status=status, headers=AT_ONCE)
    return both(f"{status}: {says[0]:.40}", [reply], fails(error, f"status {status}", *says))


def reported(body: object, error: type[Exception], *says: str) -> Fault:
    """Return an error within a 200 answer."""
    name = f"200 with {json.dumps(body):.38}"
    return both(name, [json_reply(body)], fails(error, *says))


def invoked(body: bytes, headers: Mapping[str, str] = JSON_HEAD) -> list[Reply]:
    """Return one whole answer of these bytes."""
    return [Reply(headers=headers, body=body)]


def ends_in(*steps: Step) -> list[Reply]:
    """Return one stream that says "Hello" and goes on like this."""
    return [events(token("Hello"), *steps)]


def gzip_bomb() -> bytes:
    """Return 1 GiB of zeros, compressed to 1 MiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(2**23)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 128


def in_single_bytes(data: bytes, pause: float = 0.0) -> list[Step]:
    """Return steps that send each byte in a chunk of its own."""
    return [Repeat(bytes([byte]), pause, times=1) for byte in data]
