"""Lines of an event stream, out of bytes in whatever pieces they come."""

from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.protocol.lines import LineSplitter


def test_lf_crlf_and_cr_end_lines() -> None:
    splitter = LineSplitter(limit=10)
    assert splitter.split(b"a\nb\r\nc\rd\n\n") == [b"a", b"b", b"c", b"d", b""]


def test_a_crlf_that_two_reads_share_ends_one_line() -> None:
    splitter = LineSplitter(limit=10)
    assert splitter.split(b"a\r") == [b"a"]
    assert splitter.split(b"") == []
    assert splitter.split(b"\n") == []
    assert splitter.split(b"b\n") == [b"b"]


def test_two_crs_end_two_lines() -> None:
    splitter = LineSplitter(limit=10)
    assert splitter.split(b"a\r") == [b"a"]
    assert splitter.split(b"\rb\r\n") == [b"", b"b"]


def test_separators_that_only_unicode_knows_end_no_line() -> None:
    line = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg".encode()
    assert LineSplitter(limit=100).split(line + b"\n") == [line]


def test_a_byte_order_mark_is_left_out_at_the_start_only() -> None:
    splitter = LineSplitter(limit=10)
    assert splitter.split(b"\xef") == []
    assert splitter.split(b"\xbb\xbfa\n\xef\xbb\xbfb\n") == [b"a", b"\xef\xbb\xbfb"]


def test_rest_is_what_no_line_end_follows() -> None:
    splitter = LineSplitter(limit=10)
    assert splitter.split(b"\xef\xbb\xbfa") == []
    assert splitter.rest() == b"a"
    assert splitter.split(b"b\nc") == [b"ab"]
    assert splitter.rest() == b"c"


def test_a_line_at_the_limit_is_kept_and_one_beyond_it_ends_all() -> None:
    splitter = LineSplitter(limit=3)
    assert splitter.split(b"abc\nabcd\nab\n") == [b"abc"]
    assert splitter.overflowed
    assert splitter.split(b"a\n") == []


def test_a_read_that_is_one_line_beyond_the_limit_ends_all() -> None:
    splitter = LineSplitter(limit=3)
    assert splitter.split(b"abc\n") == [b"abc"]
    assert splitter.split(b"abcd\n") == []
    assert splitter.overflowed


def test_a_line_whose_end_never_comes_is_not_kept_beyond_the_limit() -> None:
    splitter = LineSplitter(limit=3)
    assert splitter.split(b"ok\nabc") == [b"ok"]
    assert not splitter.overflowed
    assert splitter.split(b"d") == []
    assert splitter.overflowed
    assert splitter.rest() == b""


@given(
    pieces=st.lists(st.text("ab\n\r\u2028é").map(str.encode) | st.binary(max_size=3), max_size=12)
)
def test_lines_do_not_depend_on_how_the_bytes_are_cut(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    splitter = LineSplitter(limit=1000)
    lines = [line for piece in pieces for line in splitter.split(piece)]
    whole = data.removeprefix(b"\xef\xbb\xbf")
    expected = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    # A body that consists of a part of a byte order mark, or of nothing, has no line yet.
    assert [*lines, splitter.rest()] == expected
