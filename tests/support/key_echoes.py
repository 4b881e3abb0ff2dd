"""Servers that echo the API key: every shape of response, every spelling of the key."""

import json
import string
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

import httpx
from hypothesis import strategies as st
from support.documented_exchanges import Reads, token_event

# The characters of a bearer token (RFC 6750, section 2.1); each comes once in a key, so that
# no piece of it stands by chance in a traceback, as "~~~~" does.
TOKEN_CHARACTERS = string.ascii_letters + string.digits + "-._~+/"
keys = st.permutations(TOKEN_CHARACTERS).flatmap(
    lambda chars: st.integers(32, 64).map(lambda length: "".join(chars[:length]))
)

SPELLINGS: dict[str, Callable[[str], str]] = {
    "exact": str,
    "header": "authorization: Bearer {}".format,
    "upper": str.upper,
    "lower": str.lower,
    "quoted": lambda key: quote(key, safe=""),
    "each quoted": lambda key: "".join(f"%{ord(char):02X}" for char in key),
    "slashes escaped": lambda key: key.replace("/", "\\/"),
    "each escaped": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "wrapped": lambda key: f"{key[:16]}\n{key[16:]}",
    "cut by the server": lambda key: f"{key[:20]}...",
}


@dataclass(frozen=True, slots=True)
class Echo:
    """The two texts of a response that contain the key, or half of it each."""

    first: str
    second: str


Document = Callable[[Echo], object]
DOCUMENTS: dict[str, Document] = {
    "error": lambda echo: {"error": echo.first, "error_type": echo.second},
    "detail": lambda echo: {"detail": echo.first, "request_id": echo.second},
    "error in detail": lambda echo: {"detail": {"error": echo.first, "code": echo.second}},
    "OpenAI's": lambda echo: {
        "error": {"message": echo.first, "type": "x", "param": echo.second, "code": None}
    },
    "validation": lambda echo: {
        "detail": [
            {"type": "x", "loc": ["header", echo.first], "msg": echo.second, "input": echo.first}
        ]
    },
    "two faults": lambda echo: {"detail": [{"msg": echo.first}, {"msg": echo.second}]},
    "newer validation": lambda echo: {"message": echo.first, "param": echo.second},
    "langchain-community's": lambda echo: {
        "error_type": echo.first,
        "error_message": echo.second,
        "request_id": echo.first,
    },
    "failed": lambda echo: {
        "request_id": echo.first,
        "inference_status": {"status": "failed", "error": echo.second},
    },
    "odd status": lambda echo: {
        "request_id": echo.first,
        "inference_status": {"status": echo.second},
    },
    "no text": lambda echo: {
        "request_id": echo.first,
        "results": [{"generated_text": 1}],
        "inference_status": {"status": echo.second},
    },
    "unknown": lambda echo: {"x": {echo.first: [echo.second]}},
    "a list": lambda echo: [echo.first, echo.second],
    "a string": lambda echo: echo.first,
}


def as_json(document: Document) -> Callable[[Echo], bytes]:
    return lambda echo: json.dumps(document(echo)).encode()


def as_event(document: Document) -> Callable[[Echo], bytes]:
    return lambda echo: b"data: " + as_json(document)(echo) + b"\n\n"


BODIES: dict[str, Callable[[Echo], bytes]] = {
    **{name: as_json(document) for name, document in DOCUMENTS.items()},
    "text": lambda echo: f"Bad key {echo.first} {echo.second}".encode(),
    "broken JSON": lambda echo: f'{{"error": "{echo.first}", "x": {echo.second}'.encode(),
    "no UTF-8": lambda echo: b"\xff\x00" + echo.first.encode(),
    "title": lambda echo: f"<html><title>401 {echo.first}</title>{echo.second}".encode(),
    "page": lambda echo: f"<p>401 <b>{echo.first}</b></p><i>{echo.second}".encode(),
}
EVENTS: dict[str, Callable[[Echo], bytes]] = {
    **{name: as_event(document) for name, document in DOCUMENTS.items()},
    "event: error": lambda echo: f"event: error\ndata: {echo.first}\n\n".encode(),
    "no JSON": lambda echo: f'data: {{"token": {echo.first}\n\n'.encode(),
    "no event": lambda echo: f"{echo.first} <{echo.second}>\n".encode(),
    "no UTF-8": lambda echo: b"data: \xff" + echo.first.encode() + b"\n\n",
    "comment": lambda echo: f": {echo.first}\n".encode(),
    "bare JSON": lambda echo: as_json(DOCUMENTS["error"])(echo) + b"\n",
    "odd token": as_event(lambda echo: {"token": {"text": 1, "x": echo.first}}),
    "request id": as_event(lambda echo: {"request_id": echo.first, "token": {"text": "!"}}),
}
ECHOING_HEADERS = ("x-request-id", "location", "retry-after", "www-authenticate", "x-voxtral-model")
STATUSES = (200, 307, 400, 401, 402, 403, 404, 405, 408, 413, 418, 422, 423, 429, 500, 502, 503)
BREAKS = (
    httpx.RemoteProtocolError,
    httpx.ConnectError,
    httpx.ReadError,
    httpx.DecodingError,
    httpx.ProxyError,
)


class Broken(Reads):
    """A body that ends with an error of httpx that quotes what it could not read."""

    def __init__(self, reads: Sequence[bytes], error: Exception) -> None:
        super().__init__(reads)
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield from super().__iter__()
        raise self._error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for read in super().__aiter__():
            yield read
        raise self._error


Answer = Callable[[httpx.Request], httpx.Response]


@st.composite
def echoes(draw: st.DrawFn, key: str) -> Echo:
    # Where a quotation of 500 or 200 characters is cut, a key must not be half shown.
    padding = "x" * draw(st.sampled_from([0, 0, 100, 150, 180, 190, 450, 480, 490]))
    if draw(st.booleans()):
        spell = SPELLINGS[draw(st.sampled_from(sorted(SPELLINGS)))]
        return Echo(f"{padding}{spell(key)} is bad", spell(key))
    half = len(key) // 2
    return Echo(padding + key[:half], key[half:])


def one_line(text: str) -> str:
    return text.replace("\n", "").strip()


@st.composite
def headers_with(draw: st.DrawFn, echo: Echo) -> dict[str, str]:
    names = draw(st.lists(st.sampled_from(ECHOING_HEADERS), unique=True))
    return {"retry-after-ms": "0"} | {name: one_line(echo.first) for name in names}


@st.composite
def answers_with_body(draw: st.DrawFn, echo: Echo, body: Callable[[Echo], bytes]) -> Answer:
    status = draw(st.just(200) | st.sampled_from(STATUSES))
    kind = {"content-type": draw(st.sampled_from(["application/json", "text/html", "x/y"]))}
    headers = kind | draw(headers_with(echo))
    return lambda _: httpx.Response(status, headers=headers, content=body(echo))


@st.composite
def answers_with_event(draw: st.DrawFn, echo: Echo, event: Callable[[Echo], bytes]) -> Answer:
    tokens = [token_event(text) for text in draw(st.sampled_from([(), ("Hi", " you")]))]
    headers = {"content-type": "text/event-stream"} | draw(headers_with(echo))
    return lambda _: httpx.Response(200, headers=headers, stream=Reads([*tokens, event(echo)]))


@st.composite
def broken_answers(draw: st.DrawFn, echo: Echo, kind: Callable[[str], Exception]) -> Answer:
    """Draw a response on which httpx fails, before or in its body."""
    tokens = draw(st.sampled_from([None, (), (token_event("Hi"),)]))
    headers = {"content-type": "text/event-stream"} | draw(headers_with(echo))

    def broken(_: httpx.Request) -> httpx.Response:
        error = kind(f"illegal line: {echo.first!r}")
        if tokens is None:
            raise error
        return httpx.Response(200, headers=headers, stream=Broken(tokens, error))

    return broken


Shape = Callable[[Echo], st.SearchStrategy[Answer]]
SHAPES: dict[str, Shape] = {
    **{f"body: {name}": partial(answers_with_body, body=body) for name, body in BODIES.items()},
    **{f"event: {name}": partial(answers_with_event, event=made) for name, made in EVENTS.items()},
    **{kind.__name__: partial(broken_answers, kind=kind) for kind in BREAKS},
}
