"""One table of the faults of servers and networks, each with its expected outcome.

`tests/unit_tests/transport/test_faults.py` runs it; `make faults` prints it.
"""

import gzip
from dataclasses import replace

from support.faults.builders import (
    JSON_HEAD,
    MIB,
    SHORT,
    SILENCE,
    both,
    breaks,
    ends_in,
    fails,
    fine,
    gzip_bomb,
    in_single_bytes,
    invoked,
    recovers,
    succeeds,
)
from support.faults.error_responses import RESPONSE_FAULTS
from support.faults.runner import Case, Fault, Outcome, Where
from support.scripted_server import End, Repeat, Reply
from support.sse_replies import event, events, final, streamed, token, whole

from langchain_voxtral.errors import (
    VoxtralConnectionError,
    VoxtralIncompleteStreamError,
    VoxtralResponseError,
    VoxtralTimeoutError,
)

RESET = Reply(steps=[End.RESET])
RESET_AFTER_HEAD = Reply(steps=[b"", End.RESET])
ONE_RETRY = {"max_retries": 1}
NO_RETRY = {"max_retries": 0}
BOMB = gzip_bomb()
# 64 KiB of the bomb, which one read takes, are 64 MiB unpacked. At worst memory holds what was
# read before, the last read, which httpx keeps, and the next, in blocks and joined; and some room.
MAX_BOMB_MEBIBYTES = 64 + 64 + 2 * 64 + 64
GZIPPED = {"content-encoding": "gzip"}
CUT_EVENT = token("lost")[:30]
WHOLE = whole("Hello!").body or b""
HALF = WHOLE[:60]
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
SPLIT = [token("Ça va? "), b"\r\n", token("नमस्ते"), token(" 😀"), final()]
BEFORE_FINAL = "ended before its final event"

CONNECTIONS = [
    both(
        "nobody listens",
        [],
        fails(
            VoxtralConnectionError,
            "cannot be reached",
            "base_url",
            requests=0,
            attempts=2,
            request_id=None,
        ),
        fields=ONE_RETRY,
        where=Where.CLOSED_PORT,
    ),
    recovers("reset before the headers, once", RESET, fields=ONE_RETRY),
    both(
        "reset before the headers, always",
        [RESET],
        fails(VoxtralConnectionError, "broke the connection", request_id=None),
        fields=NO_RETRY,
    ),
    recovers("reset after the headers, once", RESET_AFTER_HEAD, fields=ONE_RETRY),
    Fault(
        "reset in the middle",
        Case(
            [Reply(headers=JSON_HEAD, steps=[HALF, End.RESET])],
            fails(VoxtralConnectionError, "broke the connection"),
            NO_RETRY,
        ),
        Case(
            ends_in(CUT_EVENT, End.RESET),
            breaks(VoxtralIncompleteStreamError, "broke", "max_stream_resumes"),
        ),
    ),
    Fault(
        "reset in the middle, with a resume",
        stream=Case(
            [*ends_in(CUT_EVENT, End.RESET), streamed("!")],
            succeeds(True, requests=2, attempts=2, info={"resumes": 1, "cost_complete": False}),
            {"max_stream_resumes": 1},
        ),
    ),
    Fault(
        "clean end in the middle",
        Case(invoked(HALF), fails(VoxtralResponseError, "not a JSON object")),
        Case(ends_in(CUT_EVENT), breaks(VoxtralIncompleteStreamError, BEFORE_FINAL)),
    ),
    Fault(
        "clean end without the final event",
        stream=Case(
            ends_in(), breaks(VoxtralIncompleteStreamError, BEFORE_FINAL, "after 1 token.")
        ),
    ),
    Fault(
        "clean end with nothing at all",
        Case(invoked(b""), fails(VoxtralResponseError, "not a JSON object but: nothing")),
        Case([events()], fails(VoxtralIncompleteStreamError, BEFORE_FINAL)),
    ),
    Fault(
        "[DONE] in place of the final event",
        stream=Case(
            ends_in(b"data: [DONE]\n\n"), breaks(VoxtralIncompleteStreamError, BEFORE_FINAL)
        ),
    ),
    Fault(
        "closed between two calls",
        *(
            Case([fine(kind)], succeeds(kind, requests=2), earlier=replace(fine(kind), closes=True))
            for kind in (False, True)
        ),
    ),
    Fault(
        "reset when a kept connection is used again",
        *(
            Case(
                [RESET, fine(kind)],
                succeeds(kind, requests=3, attempts=2),
                ONE_RETRY,
                earlier=fine(kind),
            )
            for kind in (False, True)
        ),
    ),
]

SILENCES = [
    Fault(
        "silence before the headers",
        Case(
            [Reply(steps=[End.STALL])],
            fails(VoxtralTimeoutError, "timeout=", request_id=None),
            SILENCE,
        ),
        Case(
            [Reply(steps=[End.STALL])],
            fails(VoxtralTimeoutError, "stream_idle_timeout=", request_id=None),
            SILENCE,
        ),
    ),
    Fault(
        "silence in the middle",
        Case(
            [Reply(headers=JSON_HEAD, steps=[HALF, End.STALL])],
            fails(VoxtralTimeoutError, "timeout="),
            SILENCE,
        ),
        Case(
            ends_in(CUT_EVENT, End.STALL),
            breaks(VoxtralTimeoutError, "stream_idle_timeout="),
            SILENCE,
        ),
    ),
    Fault(
        "nothing but signs of life",
        Case(
            [Reply(headers=JSON_HEAD, steps=[Repeat(b" ", 0.02)])],
            fails(VoxtralTimeoutError, "deadline="),
            {"deadline": SHORT},
        ),
        Case(
            ends_in(Repeat(b": still here\n\n", 0.02)),
            breaks(VoxtralTimeoutError, "brought no text", "stream_idle_timeout="),
            SILENCE,
        ),
    ),
    Fault(
        "a trickle, byte by byte",
        Case([Reply(headers=JSON_HEAD, steps=in_single_bytes(WHOLE, 0.0005))], succeeds(False)),
        Case([events(*in_single_bytes(token("Hello!") + final(), 0.0005))], succeeds(True)),
    ),
    Fault(
        "no end after the final event",
        stream=Case(ends_in(token("!"), final(), End.STALL), succeeds(True)),
    ),
    Fault(
        "a stop sequence, then a reset",
        stream=Case(
            ends_in(token(" ST"), token("OP"), token(" more"), End.RESET),
            Outcome(
                "Hello ", info={"finish_reason": "stop", "usage_incomplete": True, "cost": None}
            ),
            options={"stop": ["STOP"]},
        ),
    ),
]

BODIES = [
    Fault(
        "no JSON",
        Case(invoked(b"nonsense"), fails(VoxtralResponseError, "JSON", "nonsense")),
        Case(
            ends_in(b"data: nonsense\n\n", final()),
            breaks(VoxtralResponseError, "JSON", "nonsense"),
        ),
    ),
    Fault(
        "no UTF-8",
        Case(
            invoked(b'{"results": [{"generated_text": "\xff"}]}'),
            fails(VoxtralResponseError, "not a JSON object"),
        ),
        Case(
            ends_in(b'data: {"token": {"text": "\xff"}}\n\n', final()),
            breaks(VoxtralResponseError, "not UTF-8"),
        ),
    ),
    Fault(
        "another API's JSON",
        Case(invoked(b'{"answer": "Hi"}'), fails(VoxtralResponseError, "no results")),
        Case(
            ends_in(event({"answer": "Hi"}), final()), breaks(VoxtralResponseError, "no known form")
        ),
    ),
    Fault(
        "a body without end",
        Case(
            [Reply(headers=JSON_HEAD, steps=[Repeat(MIB, times=100)])],
            fails(VoxtralResponseError, "longer than 64 MiB", "max_tokens"),
            max_mebibytes=80,
        ),
        Case(
            ends_in(b"data: ", Repeat(MIB, times=50)),
            breaks(VoxtralResponseError, "longer than 16777216 bytes"),
            max_mebibytes=50,
        ),
    ),
    Fault(
        "a page in place of the answer",
        *[
            Case(
                invoked(HTML, {"content-type": "text/html"}),
                fails(VoxtralResponseError, "502 Bad Gateway", "base_url"),
            )
        ]
        * 2,
    ),
    Fault(
        "cut at every byte",
        stream=Case(
            [events(*in_single_bytes(b"".join(SPLIT).replace(b"\n", b"\r\n")))],
            succeeds(True, "Ça va? नमस्ते 😀"),
        ),
    ),
    Fault(
        "text after the final event",
        stream=Case(ends_in(token("!"), final(), token(" more"), final()), succeeds(True)),
    ),
    Fault(
        "no blank line after the final event",
        stream=Case(ends_in(token("!"), final().rstrip()), succeeds(True)),
    ),
    Fault(
        "gzip",
        Case(invoked(gzip.compress(WHOLE), JSON_HEAD | GZIPPED), succeeds(False)),
        Case([events(gzip.compress(token("Hello!") + final()), headers=GZIPPED)], succeeds(True)),
    ),
    Fault(
        "gzip that is none",
        Case(
            invoked(b"no gzip", JSON_HEAD | GZIPPED),
            fails(VoxtralResponseError, "does not match its Content-Encoding"),
        ),
        Case(
            [events(b"no gzip", headers=GZIPPED)],
            fails(VoxtralResponseError, "does not match its Content-Encoding"),
        ),
    ),
    Fault(
        "a gzip bomb",
        Case(
            invoked(BOMB, JSON_HEAD | GZIPPED),
            fails(VoxtralResponseError, "longer than 64 MiB"),
            max_mebibytes=MAX_BOMB_MEBIBYTES,
        ),
        Case(
            [events(BOMB, headers=GZIPPED)],
            fails(VoxtralResponseError, "longer than 16777216 bytes"),
            max_mebibytes=MAX_BOMB_MEBIBYTES,
        ),
    ),
    Fault(
        "a gzip bomb in gzip",
        Case(
            invoked(gzip.compress(BOMB), JSON_HEAD | {"content-encoding": "gzip, gzip"}),
            fails(VoxtralResponseError, "compressed more than once"),
            max_mebibytes=5,
        ),
        Case(
            [events(gzip.compress(BOMB), headers={"content-encoding": "gzip, gzip"})],
            fails(VoxtralResponseError, "compressed more than once"),
            max_mebibytes=5,
        ),
    ),
]

FAULTS = [*CONNECTIONS, *SILENCES, *BODIES, *RESPONSE_FAULTS]
