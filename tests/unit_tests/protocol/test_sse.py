"""The bytes of an event stream to JSON documents."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.errors import VoxtralResponseError
from langchain_voxtral.protocol.fields import JsonObject
from langchain_voxtral.protocol.sse import SSEDecoder


def decoded(*reads: bytes) -> list[JsonObject]:
    """Every document of a body that comes in these reads."""
    decoder = SSEDecoder()
    documents = [document for read in reads for document in decoder.feed(read)]
    documents += decoder.close()
    if decoder.failure is not None:
        raise decoder.failure
    return documents


def failed(decoder: SSEDecoder) -> str:
    """The message of a decoder's failure."""
    assert isinstance(decoder.failure, VoxtralResponseError)
    return decoder.failure.message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'data: {"a": 1}\ndata: {"b": 2}\n', id="no blank lines, as documented"),
        pytest.param(b'data: {"a": 1}\n\ndata: {"b": 2}\n\n', id="blank lines, as the standard"),
        pytest.param(b'data: {"a": 1}\r\n\r\ndata: {"b": 2}\r\n\r\n', id="CRLF"),
        pytest.param(b'data: {"a": 1}\r\rdata: {"b": 2}\r\r', id="CR"),
        pytest.param(b'data:{"a": 1}\ndata:{"b": 2}\n', id="no space"),
        pytest.param(b'data:   {"a": 1} \ndata: {"b": 2}\t\n', id="more space"),
        pytest.param(b'data: {"a": 1}\ndata: {"b": 2}', id="no final line end"),
        pytest.param(b'\xef\xbb\xbfdata: {"a": 1}\ndata: {"b": 2}\n', id="byte order mark"),
        pytest.param(b': hi\ndata: {"a": 1}\n:\n\n:x\ndata: {"b": 2}\n', id="comments"),
        pytest.param(b'data: {"a":\ndata: 1}\n\ndata: {"b": 2}\n\n', id="two data lines"),
        pytest.param(b'data: {\ndata:\ndata: "a": 1\ndata: }\ndata: {"b": 2}\n', id="pretty"),
        pytest.param(b'data: {"a": 1}\ndata: {"b":\ndata: 2}', id="two lines at the end"),
        pytest.param(b'data\ndata:\n\ndata: {"a": 1}\ndata: \n\ndata: {"b": 2}\n', id="empty data"),
        pytest.param(
            b'event: token\nid: 1\nretry: 5\ndata: {"a": 1}\nid\nnew-field: x\ndata: {"b": 2}\n',
            id="other fields",
        ),
        pytest.param(b'{"a": 1}\n{"b": 2}\n', id="bare JSON"),
    ],
)
def test_every_form_of_a_stream_gives_the_same_documents_however_it_is_cut(body: bytes) -> None:
    expected = [{"a": 1}, {"b": 2}]
    assert decoded(body) == expected
    for cut in range(len(body)):
        assert decoded(body[:cut], body[cut:]) == expected
    assert decoded(*(body[at : at + 1] for at in range(len(body)))) == expected


def test_a_document_is_there_as_soon_as_its_line_ends() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b'data: {"a": 1}') == []
    assert decoder.feed(b"\n") == [{"a": 1}]


def test_brackets_and_escaped_quotes_in_strings_do_not_end_an_object() -> None:
    body = b'data: {"a": "}]\\"}",\ndata: "b": "{[\\\\"}\n'
    assert decoded(body) == [{"a": '}]"}', "b": "{[\\"}]


def test_separators_that_only_unicode_knows_stay_in_the_text() -> None:
    text = "a\u2028b\u2029c\u0085d\x0b"
    body = json.dumps({"a": text.replace("\x0b", "")}, ensure_ascii=False)
    assert decoded(b"data: " + body.encode() + b"\n") == [{"a": text.replace("\x0b", "")}]


def test_done_ends_the_stream_and_what_follows_is_ignored() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b'data: {"a": 1}\ndata: [DONE]\ndata: {"b": 2}\nnoise\n') == [{"a": 1}]
    assert decoder.received_done
    assert decoder.feed(b'data: {"c": 3}\n\xff\n') == []
    assert decoder.close() == []


def test_after_done_even_a_line_that_is_too_long_is_ignored() -> None:
    decoder = SSEDecoder(max_event_bytes=20)
    assert decoder.feed(b"data: [DONE]\n" + b"x" * 50) == []
    assert decoder.feed(b"x" * 50) == []
    assert decoder.close() == []


def test_done_does_not_end_an_object_that_has_begun() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b'data: {"a":\ndata: [DONE]\n\n') == []
    assert "not a JSON object" in failed(decoder)
    assert not decoder.received_done


def test_done_needs_no_final_line_end() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: [DONE]") == []
    assert not decoder.received_done
    assert decoder.close() == []
    assert decoder.received_done


@pytest.mark.parametrize(
    ("data", "document"),
    [
        (b'{"error": "boom"}', {"error": "boom"}),
        (b'{"code": 7}', {"error": {"code": 7}}),
        (b'{"error": null, "code": 7}', {"error": {"error": None, "code": 7}}),
        (b'["boom"]', {"error": ["boom"]}),
        (b"boom", {"error": "boom"}),
        (b"{}", {"error": "{}"}),
    ],
)
def test_a_document_of_an_error_event_has_the_key_error(data: bytes, document: JsonObject) -> None:
    body = b"event: error\ndata: " + data + b'\n\ndata: {"a": 1}\n\n'
    assert decoded(body) == [document, {"a": 1}]
    assert decoded(body.replace(b"\n\n", b"\n")) == [document, {"a": 1}]


def test_an_error_event_ends_with_its_blank_line() -> None:
    assert decoded(b'event: error\n\ndata: {"a": 1}\n') == [{"a": 1}]
    assert decoded(b'event: error\nevent: token\ndata: {"a": 1}\n') == [{"a": 1}]


def test_an_error_event_that_is_broken_json_is_quoted_whole() -> None:
    body = b"event: error\ndata: {boom\ndata: bang\n\n"
    assert decoded(body) == [{"error": "{boom\nbang"}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"data: hello\n", "The server's stream has data that is not a JSON object: 'hello'."),
        (b"data: [1]\n", "The server's stream has data that is not a JSON object: '[1]'."),
        (b"data: null\n", "The server's stream has data that is not a JSON object: 'null'."),
        (b'data: {"a":\n\n', "The server's stream has data that is not a JSON object: '{\"a\":'."),
        (b"data: {]}\n", "The server's stream has data that is not a JSON object: '{]}'."),
        (
            b'data: {"a": "\xff"}\n',
            'The server\'s stream is not UTF-8 in the data \'{"a": "\ufffd"}\'.',
        ),
        (
            b"<html>\n",
            "The server's answer is not an event stream, it has the line '<html>'.",
        ),
        (
            b"Service Unavailable",
            "The server's answer is not an event stream, it has the line 'Service Unavailable'.",
        ),
    ],
)
def test_a_body_that_is_not_an_event_stream_is_quoted(body: bytes, message: str) -> None:
    with pytest.raises(VoxtralResponseError) as caught:
        decoded(body)
    assert caught.value.message == message


def test_an_error_quotes_at_most_200_characters_and_no_secret() -> None:
    decoder = SSEDecoder(secrets=["sk-1"])
    decoder.feed(b"data: sk-1 " + b"x" * 500 + b"\n")
    quote = failed(decoder).split("'", 2)[2]
    assert quote == "[redacted] " + "x" * 188 + "…'."


def test_documents_before_a_failure_are_returned_and_none_after_it() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b'data: {"a": 1}\ndata: hello\ndata: {"b": 2}\nnoise\n') == [{"a": 1}]
    assert "'hello'" in failed(decoder)
    assert decoder.feed(b'data: {"c": 3}\n') == []
    assert decoder.close() == []
    assert "'hello'" in failed(decoder)


@pytest.mark.parametrize(
    "end",
    [
        b"d",
        b"data",
        b"data:",
        b"data: ",
        b"data: [DO",
        b'data: {"a',
        b'data: {"a": "}}',
        b'data: {"a": "\xc3',
        b'data: {"a":\n',
        b'data: {"a":\ndata: 1',
        b"eve",
        b"\r",
    ],
)
def test_an_incomplete_event_at_the_end_is_discarded(end: bytes) -> None:
    assert decoded(b'data: {"x": 1}\n' + end) == [{"x": 1}]


def test_a_line_as_long_as_the_limit_is_read() -> None:
    decoder = SSEDecoder(max_event_bytes=20)
    assert decoder.feed(b'data: {"a": "xxxxx"}\n') == [{"a": "xxxxx"}]


@pytest.mark.parametrize("size", [1, 10, 21, 22])
def test_a_longer_line_is_an_error_that_names_the_limit_however_it_is_cut(size: int) -> None:
    body = b'data: {"a": "xxxxxx"}\n'
    decoder = SSEDecoder(max_event_bytes=20)
    documents = [decoder.feed(body[at : at + size]) for at in range(0, len(body), size)]
    assert not any(documents)
    assert re.search(r"longer than 20 bytes.*max_event_bytes", failed(decoder))


def test_documents_before_a_line_that_is_too_long_come_first() -> None:
    decoder = SSEDecoder(max_event_bytes=20)
    assert decoder.feed(b'data: {"a": 1}\ndata: ' + b"x" * 20 + b'\ndata: {"b": 2}') == [{"a": 1}]
    assert "20 bytes" in failed(decoder)
    assert decoder.close() == []


def test_an_endless_line_is_bounded_too() -> None:
    decoder = SSEDecoder(max_event_bytes=20)
    assert decoder.feed(b'data: {"a": 1}\ndata: {"b": ') == [{"a": 1}]
    assert decoder.feed(b"x" * 8) == []
    assert decoder.failure is None
    assert decoder.feed(b"x") == []
    assert "20 bytes" in failed(decoder)


def test_an_empty_read_does_not_part_a_crlf() -> None:
    assert decoded(b'data: {"a":\r', b"", b"\ndata: 1}\r\n") == [{"a": 1}]


def test_a_byte_order_mark_is_left_out_at_the_start_only() -> None:
    with pytest.raises(VoxtralResponseError, match="not an event stream"):
        decoded(b'data: {"a": 1}\n\xef\xbb\xbfdata: {"b": 2}\n')


def test_an_event_of_short_lines_is_bounded_too() -> None:
    decoder = SSEDecoder(max_event_bytes=20)
    decoder.feed(b"data: {[[[[\n" * 5)
    assert "20 bytes" in failed(decoder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FRAMING = st.sampled_from(
    ["data: {}\n", "data:{}\n\n", ": c\ndata: {}\r\n", "data: {}\r\r", "id: 1\ndata: {}\r\n\r\n"]
)


@given(
    documents=st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=5),
    framings=st.lists(FRAMING, min_size=5, max_size=5),
    pretty=st.lists(st.booleans(), min_size=5, max_size=5),
    ascii_only=st.booleans(),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_any_documents_survive_any_line_ends_and_any_chunks(
    documents: list[JsonObject],
    framings: list[str],
    pretty: list[bool],
    ascii_only: bool,
    cuts: list[int],
) -> None:
    body = b""
    for document, framing, indent in zip(documents, framings, pretty, strict=False):
        text = json.dumps(document, ensure_ascii=ascii_only, indent=1 if indent else None)
        body += framing.replace("{}", text.replace("\n", "\ndata: ")).encode()
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    assert decoded(*(body[start:end] for start, end in pairwise(places))) == documents


@given(reads=st.lists(st.binary(max_size=30) | st.sampled_from([b"data: {", b"}\n", b"\n"])))
def test_any_bytes_give_documents_or_a_response_error(reads: list[bytes]) -> None:
    try:
        documents = decoded(*reads)
    except VoxtralResponseError:
        return
    assert all(isinstance(document, dict) for document in documents)
