"""The bytes of a recording can be read from the start any number of times."""

import codecs
import hashlib
import io
import os
import threading
import traceback
from pathlib import Path

import pytest
from support import speech_samples as samples

from langchain_voxtral.audio.source import AudioSource
from langchain_voxtral.errors import VoxtralAudioError

DATA = bytes(range(256)) * 10


def assert_holds_data(source: AudioSource) -> None:
    for _ in range(2):
        with source.open() as file:
            assert file.read() == DATA
    assert source.read() == DATA
    assert source.size == len(DATA)
    assert source.sha256() == hashlib.sha256(DATA).hexdigest()


def test_paths_and_their_names(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(DATA)
    for given in (path, str(path)):
        source = AudioSource(given)
        assert_holds_data(source)
        assert (source.content, source.name, source.title) == (path, str(path), str(path))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_have_no_name(kind: type) -> None:
    source = AudioSource(kind(DATA))
    assert_holds_data(source)
    assert (source.name, source.title) == (None, "the recording")


def test_a_file_is_read_from_its_start_or_from_its_position() -> None:
    file = io.BytesIO(b"header" + DATA)
    file.seek(6)
    assert_holds_data(AudioSource(file, rewind=False))
    file.seek(6)
    assert AudioSource(file).read() == b"header" + DATA


def test_a_file_keeps_its_name_and_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(DATA)
    with path.open("rb") as file:
        with AudioSource(file) as source:
            assert_holds_data(source)
            assert source.name == str(path)
        assert not file.closed
    with os.fdopen(os.open(path, os.O_RDONLY), "rb") as unnamed:
        assert AudioSource(unnamed).name is None


def test_a_file_that_cannot_seek_is_copied() -> None:
    with AudioSource(samples.pipe(DATA)) as source:
        assert_holds_data(source)
        copy = source.content
    assert isinstance(copy, io.IOBase)
    assert copy.closed


def test_a_named_pipe_is_copied(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(DATA,)).start()
    with AudioSource(pipe) as source:
        assert_holds_data(source)
        assert source.name == str(pipe)


def test_a_copy_is_deleted_with_its_source() -> None:
    source = AudioSource(samples.pipe(DATA))
    copy = source.content
    assert isinstance(copy, io.IOBase)
    del source
    assert copy.closed


def test_a_long_name_is_shortened_in_errors() -> None:
    with pytest.raises(VoxtralAudioError) as caught:
        AudioSource("a" * 5_000).read()
    assert str(caught.value) == f"{'a' * 200}... cannot be read: File name too long."
    assert "a" * 201 not in "".join(traceback.format_exception(caught.value))


def test_a_reader_of_text_is_refused() -> None:
    reader = codecs.getreader("utf-8")(io.BytesIO(b"Dear diary"))
    with pytest.raises(VoxtralAudioError, match="not StreamReader"):
        AudioSource(reader, rewind=False)
