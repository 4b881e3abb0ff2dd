"""Bodies in chunked coding, read from their connections past httpcore."""

import pytest
from support.call_modes import Caller
from support.scripted_server import End, Gate, Reply, ScriptedServer, Step
from support.sse_replies import final, token

from langchain_voxtral.errors import VoxtralIncompleteStreamError

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunked(*contents: bytes, extension: bytes = b"") -> bytes:
    """Return an HTTP chunk for each of these contents."""
    return b"".join(b"%x%b\r\n%b\r\n" % (len(each), extension, each) for each in contents)


def sent_at_once(body: bytes) -> Reply:
    """Return a response that is sent with one write."""
    return Reply(steps=[HEAD + body], is_raw=True)


def test_tokens_that_arrive_in_one_read_leave_in_one_chunk(caller: Caller) -> None:
    body = chunked(*map(token, ["Hello", ", ", "world"]), final()) + END
    with ScriptedServer(sent_at_once(body)) as server:
        chunks = list(caller.stream(caller.model(server)))

    assert [chunk.text for chunk in chunks if chunk.text] == ["Hello, world"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(chunked(token("a"), token("b"), final()) + END, id="plain chunks"),
        pytest.param(
            chunked(token("a"))
            + chunked(token("b"), extension=b";name=value")
            + chunked(final())
            + END,
            id="an extension of a chunk",
        ),
        pytest.param(
            chunked(token("a"), token("b"), final()) + b"0\r\nname: value\r\n\r\n", id="a trailer"
        ),
    ],
)
def test_the_connection_is_kept_after_a_chunked_body(caller: Caller, body: bytes) -> None:
    with ScriptedServer(sent_at_once(body), sent_at_once(body)) as server:
        model = caller.model(server)
        texts = ["".join(chunk.text for chunk in caller.stream(model)) for _ in range(2)]

    assert (texts, len(server.connections)) == (["ab", "ab"], 1)


def test_what_is_no_chunk_ends_a_stream_after_the_tokens_before_it(caller: Caller) -> None:
    gate = Gate()
    steps: list[Step] = [
        HEAD + chunked(token("a")),
        gate,
        chunked(token("b")) + b"no size\r\n",
        End.STALL,
    ]
    with ScriptedServer(Reply(steps=steps, is_raw=True)) as server:
        chunks = caller.stream(caller.model(server, timeout=5))
        texts = [next(chunks).text]
        gate.open()
        with pytest.raises(VoxtralIncompleteStreamError, match="broke the connection"):
            texts += (chunk.text for chunk in chunks)
        server.wait_until_disconnected()
    assert texts == ["a", "b"]
