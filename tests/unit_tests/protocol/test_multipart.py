"""Forms with a file: what servers parse of them."""

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.multipart_forms import parse_multipart

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.protocol.multipart import FilePart, encode_multipart, multipart_parts

UNICODE = st.characters(codec="utf-8")
SAFE = st.text(
    st.characters(codec="utf-8", exclude_characters='"\\\x7f', min_codepoint=0x20), min_size=1
)
AWKWARD = st.one_of(
    st.binary(),
    st.lists(
        st.sampled_from(
            [b"\r\n", b"--", b"voxtral-form-", b"00000000", b"00000001", b"voxtral-form-00000000"]
        )
    ).map(b"".join),
)


def parsed_by_email(body: bytes, content_type: str) -> list[EmailMessage]:
    """Return the parts that the standard library finds, with all their headers."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    assert not message.defects
    parts = message.get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, EmailMessage)]


def test_a_form_has_its_fields_in_order_and_the_file_last() -> None:
    file = FilePart("file", "audio.wav", "audio/wav", b"RIFF\r\n\x00\xff")
    fields = [("model", "m"), ("t[]", "segment"), ("t[]", "word"), ("prompt", "Ça\r\nva?")]
    body, content_type = encode_multipart(fields, file)
    assert content_type == "multipart/form-data; boundary=voxtral-form-00000000"
    assert body == (
        b"--voxtral-form-00000000\r\n"
        b'Content-Disposition: form-data; name="model"\r\n\r\nm\r\n'
        b"--voxtral-form-00000000\r\n"
        b'Content-Disposition: form-data; name="t[]"\r\n\r\nsegment\r\n'
        b"--voxtral-form-00000000\r\n"
        b'Content-Disposition: form-data; name="t[]"\r\n\r\nword\r\n'
        b"--voxtral-form-00000000\r\n"
        b'Content-Disposition: form-data; name="prompt"\r\n\r\n\xc3\x87a\r\nva?\r\n'
        b"--voxtral-form-00000000\r\n"
        b'Content-Disposition: form-data; name="file"; filename="audio.wav"\r\n'
        b"Content-Type: audio/wav\r\n\r\nRIFF\r\n\x00\xff\r\n"
        b"--voxtral-form-00000000--\r\n"
    )


@given(fields=st.lists(st.tuples(SAFE, st.text(UNICODE))), name=SAFE, data=AWKWARD)
def test_a_form_parses_back_to_the_same_parts(
    fields: list[tuple[str, str]], name: str, data: bytes
) -> None:
    body, content_type = encode_multipart(fields, FilePart("file", name, "audio/mpeg", data))
    assert parse_multipart(body, content_type) == [
        *((field, None, None, value.encode()) for field, value in fields),
        ("file", name, "audio/mpeg", data),
    ]


@given(name=st.text(UNICODE), file_name=st.text(UNICODE), data=AWKWARD)
def test_no_name_can_add_a_header_or_a_part(name: str, file_name: str, data: bytes) -> None:
    file = FilePart(name, file_name, "audio/wav", data)
    body, content_type = encode_multipart([(name, "x")], file)
    assert [
        [header.lower() for header in part] for part in parsed_by_email(body, content_type)
    ] == [
        ["content-disposition"],
        ["content-disposition", "content-type"],
    ]
    assert [content for *_, content in parse_multipart(body, content_type)] == [
        b"x",
        data,
    ]


def test_quotes_and_line_breaks_in_names_are_written_as_browsers_write_them() -> None:
    file = FilePart('a"b', 'x"; y="\r\nZ: 1\\', "audio/wav", b"")
    body, content_type = encode_multipart([], file)
    assert parse_multipart(body, content_type) == [
        ("a%22b", "x%22; y=%22%0D%0AZ: 1%5C", "audio/wav", b"")
    ]


@pytest.mark.parametrize(
    ("fields", "data", "boundary"),
    [
        ([], b"voxtral-form-00000000", "voxtral-form-00000001"),
        ([], b"voxtral-form-00000001", "voxtral-form-00000000"),
        ([], b"voxtral-form-000000000 voxtral-form-00000001", "voxtral-form-00000002"),
        ([("prompt", "voxtral-form-00000000")], b"", "voxtral-form-00000001"),
        ([("voxtral-form-00000000", "")], b"voxtral-form-00000001", "voxtral-form-00000002"),
    ],
)
def test_the_boundary_is_the_first_that_occurs_nowhere_in_the_form(
    fields: list[tuple[str, str]], data: bytes, boundary: str
) -> None:
    _, content_type = encode_multipart(fields, FilePart("file", "a.wav", "audio/wav", data))
    assert content_type == f"multipart/form-data; boundary={boundary}"


@pytest.mark.parametrize(
    ("fields", "file", "problem"),
    [
        (
            [("p", "a\ud83d")],
            FilePart("file", "a.wav", "audio/wav", b""),
            "The form's field 'p' has half a surrogate pair at character 1, which UTF-8 lacks.",
        ),
        (
            [],
            FilePart("file", "\udcff.wav", "audio/wav", b""),
            "A name in the form has half a surrogate pair at character 55, which UTF-8 lacks.",
        ),
        (
            [],
            FilePart("file", "a", "a/b\r\n", b""),
            "The file 'a' has the MIME type 'a/b\\r\\n', which is none: give one like 'audio/wav'.",
        ),
        (
            [],
            FilePart("file", "a.wav", "", b""),
            "The file 'a.wav' has the MIME type '', which is none: give one like 'audio/wav'.",
        ),
    ],
)
def test_what_a_form_cannot_say_is_an_error(
    fields: list[tuple[str, str]], file: FilePart, problem: str
) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        encode_multipart(fields, file)
    assert caught.value.message == problem


def test_a_form_in_parts_has_the_file_uncopied_between_two_others() -> None:
    file = FilePart("file", "a.wav", "audio/wav", b"RIFF" * 100)
    fields = [("model", "m"), ("language", "fr"), ("temperature", "0.0")]
    (before, sound, after), content_type = multipart_parts(fields, file)
    assert sound is file.data
    assert (before + sound + after, content_type) == encode_multipart(fields, file)
