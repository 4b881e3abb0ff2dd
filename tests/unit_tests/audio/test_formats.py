"""The format of a recording is detected from its content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import speech_samples as samples

from langchain_voxtral.audio.formats import AUDIO_FORMATS, OTHER_FORMATS, detect_format


@pytest.mark.parametrize("encoding", samples.ENCODINGS)
def test_the_format_is_detected_from_the_content(encoding: str) -> None:
    kind = detect_format(samples.encoded(encoding))
    assert kind is not None
    assert kind.name == encoding.split(maxsplit=1)[0]


@pytest.mark.parametrize("encoding", ["mp3", "flac", "aac"])
@pytest.mark.parametrize("size", [10, 300_000])
def test_a_leading_tag_of_any_length_does_not_matter(encoding: str, size: int) -> None:
    kind = detect_format(samples.id3(size) + samples.encoded(encoding))
    assert kind is not None
    assert kind.name == encoding


def test_an_mp3_may_begin_amid_a_frame() -> None:
    kind = detect_format(samples.encoded("mp3 without xing")[-9_000:])
    assert kind is not None
    assert kind.name == "mp3"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Dear diary, today I was recorded.",
        "text in UTF-16".encode("utf-16"),
        b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(2_000),
        b"\x89PNG\r\n\x1a\n",
        b"%PDF-1.7\n%\xff\xff\xff\xff\n",
        b"PK\x03\x04" + bytes(100),
        b"RIFF\x10\0\0\0WEBPVP8 ",
        bytes(5_000),
        b"\xff" * 5_000,
        b"ID3\x04\0\0\0\0\0\0",
        b"\xff\xfb\x90\xc0 no more of this frame",
    ],
)
def test_other_files_have_no_format(data: bytes) -> None:
    assert detect_format(data) is None


@given(st.binary(max_size=3_000))
def test_detection_never_fails(data: bytes) -> None:
    assert detect_format(data) in (None, *AUDIO_FORMATS, *OTHER_FORMATS)
