"""Chunked bodies, decoded a read at a time."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langchain_voxtral.protocol.chunked_body import ChunkedBody

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
GOOD = [b"1\r\na\r\n", b"0A\r\n0123456789\r\n", b"b\r\n\r\n0\r\n\r\ndata\r\n", b"2;a=b\r\nab\r\n"]
BAD = b"0\r\n,\r\n,\r,\n,+1\r\n,trailer: 1\r\n,fffffffff\r\n,a,1".split(b",")
BODIES = st.builds(
    lambda start, end: b"".join(start + end),
    st.lists(st.sampled_from(GOOD), max_size=4),
    st.lists(st.sampled_from(GOOD + BAD), max_size=4),
)
CUTS = st.lists(st.integers(0, 400), max_size=8)


def decode(data: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """Return what a body holds, and what is left to httpcore, where it comes in these pieces."""
    body = ChunkedBody()
    body.await_head()
    content, left = b"", b""
    assert body.hold_back(HEAD) == HEAD
    for piece in pieces(data, cuts):
        if body.is_open:
            content += body.decode(piece)
        else:
            left += piece
    return content, body.release() + left


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return data cut at these places."""
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def chunked(contents: list[bytes]) -> bytes:
    """Return a chunk for each content, without the last chunk."""
    return b"".join(b"%x\r\n%b\r\n" % (len(content), content) for content in contents)


def read_with_h11(data: bytes) -> tuple[bytes, str]:
    """Return what h11 reads of a body, and how it ends."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="POST", target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(HEAD + data)
    connection.receive_data(b"")
    content = b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            return content, "incomplete" if "incomplete" in str(error) else "fault"
        if isinstance(event, h11.Data):
            content += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return content, f"end {event.headers!r}"


@given(BODIES, CUTS)
@example(chunked([b"a", b"bc"]) + b"0\r\n\r\n", [])
@example(chunked([b"a"]) + b"1\r\nb\r\n\r\n", [])
def test_chunks_are_read_as_h11_reads_them_wherever_reads_end(data: bytes, cuts: list[int]) -> None:
    content, left = decode(data, cuts)
    left_content, end = read_with_h11(left)
    assert (content + left_content, end) == read_with_h11(data)


def test_chunks_of_one_read_are_joined_and_the_last_one_is_left_to_httpcore() -> None:
    assert decode(chunked([b"a", b"bc"]) + b"0\r\n\r\n", []) == (b"abc", b"0\r\n\r\n")


def test_a_part_of_a_chunk_does_not_wait_for_the_others() -> None:
    body = ChunkedBody()
    body.await_head()
    body.hold_back(HEAD + b"5\r\nab")
    assert [body.decode(data) for data in (b"", b"c", b"de\r\n")] == [b"ab", b"c", b"de"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(HEAD[:20], id="a part of a head"),
        pytest.param(b"HTTP/1.1 404 Not Found\r\n\r\n1\r\na\r\n", id="an error response"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD, id="an interim response"),
        pytest.param(b"\x05\x00\x00\x01\n\n\x00\x01\x1f\x90", id="the answer of a SOCKS proxy"),
    ],
)
def test_httpcore_gets_everything_that_is_no_head_of_a_successful_response(data: bytes) -> None:
    body = ChunkedBody()
    body.await_head()
    assert (body.hold_back(data), body.is_open) == (data, False)


def test_httpcore_gets_all_that_follows_once_it_reads_again() -> None:
    body = ChunkedBody()
    body.await_head()
    assert body.hold_back(HEAD + b"1\r\na") == HEAD
    assert (body.release(), body.is_open) == (b"1\r\na", False)
    assert body.hold_back(HEAD) == HEAD
    assert not body.is_open
