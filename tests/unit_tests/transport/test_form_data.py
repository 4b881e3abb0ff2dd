"""Forms with a file: what is sent, and what servers parse."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.multipart_forms import encode_multipart, parse_multipart

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.protocol.form_data import FormData
from langchain_voxtral.transport import HTTPRequest
from langchain_voxtral.transport.httpx_mapping import build_request
from langchain_voxtral.transport.retry import RetryState

UNICODE = st.characters(codec="utf-8")
NAMES = st.text(st.sampled_from("abc_[]"), min_size=1)


def recording(fields: list[tuple[str, str]], data: bytes = b"RIFF\r\n\x00\xff") -> FormData:
    return FormData(fields, "file", "audio.wav", "audio/wav", data)


def test_a_form_has_its_fields_in_order_and_the_file_last() -> None:
    fields = [("model", "m"), ("t[]", "segment"), ("t[]", "word"), ("prompt", "Ça\r\nva?")]
    form = recording(fields)
    body, content_type = encode_multipart(form)
    assert content_type == f"multipart/form-data; boundary={form.boundary}"
    assert body.replace(form.boundary.encode(), b"B") == (
        b"--B\r\n"
        b'Content-Disposition: form-data; name="model"\r\n\r\nm\r\n'
        b"--B\r\n"
        b'Content-Disposition: form-data; name="t[]"\r\n\r\nsegment\r\n'
        b"--B\r\n"
        b'Content-Disposition: form-data; name="t[]"\r\n\r\nword\r\n'
        b"--B\r\n"
        b'Content-Disposition: form-data; name="prompt"\r\n\r\n\xc3\x87a\r\nva?\r\n'
        b"--B\r\n"
        b'Content-Disposition: form-data; name="file"; filename="audio.wav"\r\n'
        b"Content-Type: audio/wav\r\n\r\nRIFF\r\n\x00\xff\r\n"
        b"--B--\r\n"
    )


@given(
    names=st.lists(NAMES, unique=True, max_size=4),
    values=st.lists(st.text(UNICODE), min_size=4, max_size=4),
    data=st.binary() | st.lists(st.sampled_from([b"\r\n", b"--"])).map(b"".join),
)
def test_a_form_parses_back_to_the_same_parts(
    names: list[str], values: list[str], data: bytes
) -> None:
    fields = list(zip(names, values, strict=False))
    assert parse_multipart(*encode_multipart(recording(fields, data))) == [
        *((name, None, None, value.encode()) for name, value in fields),
        ("file", "audio.wav", "audio/wav", data),
    ]


def test_equal_forms_are_equal_bodies_and_others_have_another_boundary() -> None:
    form = recording([("model", "m")])
    assert encode_multipart(form) == encode_multipart(recording([("model", "m")]))
    others = [recording([("model", "n")]), recording([]), recording([("model", "m")], b"RIFX")]
    assert len({form.boundary, *(other.boundary for other in others)}) == 4


def test_a_boundary_does_not_occur_in_the_file() -> None:
    harmless = bytes(10_000)
    boundary = recording([("model", "m")], harmless).boundary.encode()
    hostile = harmless[:5000] + boundary + harmless[5000 + len(boundary) :]
    form = recording([("model", "m")], hostile)
    assert form.boundary.encode() not in hostile
    assert parse_multipart(*encode_multipart(form)) == [
        ("model", None, None, b"m"),
        ("file", "audio.wav", "audio/wav", hostile),
    ]


@pytest.mark.parametrize(("size", "pieces"), [(1000, 1), (65_536, 2), (200_000, 4)])
async def test_a_form_is_sent_in_few_pieces(size: int, pieces: int) -> None:
    form = recording([("model", "m"), ("prompt", "p")], bytes(size))
    body, _ = encode_multipart(form)
    request = HTTPRequest("http://h/", form, {})
    with httpx.Client(verify=False) as client:  # noqa: S501 - nothing is sent
        stream = build_request(client, request, RetryState(request), is_stream=False).stream
    assert isinstance(stream, httpx.SyncByteStream)
    assert isinstance(stream, httpx.AsyncByteStream)
    assert [len([*stream]), b"".join(stream)] == [pieces, body]
    assert b"".join([piece async for piece in stream]) == body


def test_a_value_that_utf_8_cannot_encode_is_an_error_that_names_its_field() -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="field 'prompt' has a lone surrogate"):
        recording([("prompt", "a\ud83d")])
