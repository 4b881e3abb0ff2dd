"""Malformed forms: a documented error, and the engine keeps working."""

import logging
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.local_responses import PLAIN, assert_documented
from support.local_speech import NATIVE, SPEECH_MODEL, TRANSCRIPTIONS, TRANSLATIONS

BOUNDARY = b"bnd"
TYPE = "multipart/form-data; boundary=bnd"
FUZZ = settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def _works_afterwards(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """After any request, a plain request succeeds, and no failure was logged."""
    yield
    assert http.post(NATIVE, json=PLAIN).json()["num_tokens"] == 1
    assert [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR] == []


def part(disposition: bytes, body: bytes, *further: bytes) -> bytes:
    headers = (b"Content-Disposition: form-data" + disposition, *further)
    return b"--" + BOUNDARY + b"\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + body + b"\r\n"


END = b"--" + BOUNDARY + b"--\r\n"
FILE = part(b'; name="file"; filename="a.wav"', b"no sound", b"Content-Type: audio/wav")
FORM = part(b'; name="model"', SPEECH_MODEL.encode()) + FILE + END


def assert_answered(answer: httpx.Response) -> None:
    assert answer.status_code in {400, 404, 415, 422}
    assert_documented(answer.status_code, answer.headers["content-type"], answer.content)


edits = st.lists(
    st.tuples(
        st.integers(0, len(FORM)), st.integers(0, 20), st.binary(max_size=20) | st.just(b"\r\n--")
    ),
    min_size=1,
    max_size=5,
)
"""Where bytes are removed, how many, and what replaces them."""


@FUZZ
@given(edits=edits, route=st.sampled_from([NATIVE, TRANSCRIPTIONS, TRANSLATIONS]))
@example(edits=[], route=TRANSCRIPTIONS)
@example(edits=[(len(FORM) - len(END), len(END), b"")], route=TRANSCRIPTIONS)
def test_any_bytes_in_a_form(
    http: httpx.Client, edits: list[tuple[int, int, bytes]], route: str
) -> None:
    form = FORM
    for place, count, given_bytes in edits:
        form = form[:place] + given_bytes + form[place + count :]
    assert_answered(http.post(route, content=form, headers={"content-type": TYPE}))


@pytest.mark.parametrize(
    "more",
    [
        part(b'; name="prompt"', b"x" * 2_000_000),
        part(b'; name="prompt"', b"x", b"X: " + b"y" * 200_000),
        part(b'; name="prompt"', b"x", *(b"X-%d: y" % number for number in range(5_000))),
        b"".join(part(b'; name="f%d"' % number, b"x") for number in range(40)),
        part(b'; name="file"; filename="b.wav"', b"x"),
        part(b'; name="file"', b"--in\r\n\r\nx\r\n--in--", b"Content-Type: multipart/mixed"),
        part(b'; name="prompt"', b"\xed\xa0\x80\xff"),
        part(b'; name="\xff"', b"x"),
        part(b'; name="temperature"', b"inf"),
        part(b'; name="file_field"', b"audio"),
        part(b"", b"x"),
        b"--" + BOUNDARY + b"\r\n\r\nx\r\n",
    ],
    ids=[
        "a long field",
        "a long header",
        "many headers",
        "many fields",
        "two files",
        "a form in a form",
        "no UTF-8",
        "a name that is no UTF-8",
        "infinity",
        "a name of our own",
        "no name",
        "no headers",
    ],
)
def test_odd_parts(http: httpx.Client, more: bytes) -> None:
    assert_answered(http.post(TRANSCRIPTIONS, content=more + FORM, headers={"content-type": TYPE}))


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + 3000 * "x",
        "multipart/form-data; boundary=bnd; charset=utf-16",
        "multipart/form-data; boundary=bnd; charset=base64",
        "multipart/form-data; boundary=bnd; charset=nonsense",
        "multipart/mixed; boundary=bnd",
    ],
)
def test_odd_types(http: httpx.Client, kind: str) -> None:
    assert_answered(http.post(TRANSCRIPTIONS, content=FORM, headers={"content-type": kind}))


@pytest.mark.parametrize(
    "charset",
    ["utf-7", "unicode_escape", "raw_unicode_escape", "utf-16", "punycode", "base64", "nonsense"],
)
@pytest.mark.parametrize("value", [b"+2AA-", rb"\ud800"])
def test_the_text_of_a_form_is_utf_8_whatever_its_charset(
    http: httpx.Client, charset: str, value: bytes
) -> None:
    """As UTF-7 or with escapes, the value is half a character, which no response can quote."""
    for charset_of_part in ((), (b"Content-Type: text/plain; charset=" + charset.encode(),)):
        form = part(b'; name="response_format"', value, *charset_of_part) + FORM
        headers = {"content-type": f"{TYPE}; charset={charset}"}
        answer = http.post(TRANSCRIPTIONS, content=form, headers=headers)
        [detail] = answer.json()["detail"]
        assert (answer.status_code, detail["input"]) == (422, value.decode())
