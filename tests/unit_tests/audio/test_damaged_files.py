"""Damaged recordings: a clear error or a correct result, never silently less audio."""

import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
from support import speech_samples as samples

from langchain_voxtral.audio.decoder import Recording, Truncated
from langchain_voxtral.errors import VoxtralAudioError, VoxtralTruncatedAudioError

WAV = samples.encoded("wav")
SECONDS = samples.SECONDS
UNSEEN = {"caf", "mp3 without xing"}
"""Formats whose missing end may go undetected."""
CUT = [
    encoding for encoding in samples.ENCODINGS if encoding not in UNSEEN | {"m4a"}
]  # whose index is at its end
CHECKED = [
    encoding
    for encoding in samples.ENCODINGS
    if encoding.split()[0] in {"wav", "flac", "ogg", "opus", "aac"}
]
"""Formats whose last byte is always missed."""
JOINED_IS_ILL = [
    encoding for encoding in samples.ENCODINGS if encoding.split()[0] in {"wav", "aiff"}
]


def refusal(source: bytes | Path) -> str:
    with pytest.raises(VoxtralAudioError) as caught:
        list(Recording(source, name=None if isinstance(source, Path) else "talk").iter_samples())
    return str(caught.value)


def test_an_empty_file_is_refused() -> None:
    assert refusal(b"") == "talk: it is empty: 0 bytes."


def test_text_named_mp3_is_refused_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp3"
    path.write_text("This is a text.")
    assert refusal(path) == (
        f"{path}: it is no recording of a known kind (wav, mp3, flac, ogg, opus, m4a, mp4, webm, "
        "mka, aac, aiff, au, caf): it begins with b'This is a text.'."
    )


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp3"
    assert refusal(path) == f"{path} cannot be read: No such file or directory."
    assert refusal(Path("a\0b")) == "a\0b cannot be read: embedded null byte."


def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp3"
    path.write_bytes(samples.encoded("flac"))
    assert (Recording(path).format.name, samples.seconds_of(path)) == ("flac", SECONDS)


@pytest.mark.parametrize("encoding", ["wav", "ogg", "aiff", "caf"])
def test_no_samples_are_refused(encoding: str) -> None:
    nothing = samples.encoded(encoding, samples.silence(0))
    assert refusal(nothing) == "talk: it has no sound: 0 samples."


@pytest.mark.parametrize("encoding", CUT)
def test_a_file_that_is_cut_off_is_refused(encoding: str) -> None:
    whole = samples.encoded(encoding)
    with pytest.raises(VoxtralTruncatedAudioError, match=r"^talk: .* cut off") as caught:
        list(Recording(whole[: len(whole) * 6 // 10 + 1], name="talk").iter_samples())
    assert str(caught.value).endswith("; give the whole recording.")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own


@pytest.mark.parametrize("encoding", CUT)
def test_the_rest_of_a_cut_file_is_decoded_on_request(
    encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = samples.encoded(encoding)
    recording = Recording(whole[: len(whole) * 6 // 10 + 1], name="talk", truncated="keep")
    with caplog.at_level(logging.WARNING, "langchain_voxtral"):
        sound = np.concatenate(list(recording.iter_samples()))
    assert 0.45 * SECONDS < len(sound) / 16_000 < 0.7 * SECONDS
    assert (recording.is_complete, recording.duration) == (False, None)


@pytest.mark.parametrize("encoding", CHECKED)
@pytest.mark.parametrize("lacking", [1, 30])
def test_not_even_the_last_bytes_may_be_missing(encoding: str, lacking: int) -> None:
    with pytest.raises(VoxtralTruncatedAudioError, match="cut off"):
        list(Recording(samples.encoded(encoding)[:-lacking]).iter_samples())


@pytest.mark.parametrize("encoding", ["ogg", "opus"])
def test_an_ogg_with_a_damaged_page_is_refused(encoding: str) -> None:
    data = bytearray(samples.encoded(encoding))
    at = data.rindex(b"OggS")
    data[-10] ^= 1
    assert f"its page at byte {at} is damaged" in refusal(bytes(data))


@pytest.mark.parametrize("encoding", ["ogg", "opus"])
def test_an_ogg_that_lacks_a_page_in_its_middle_is_refused_or_taken_without_it(
    encoding: str,
) -> None:
    pages = samples.pages(samples.encoded(encoding))
    before, after = pages[: len(pages) // 2], pages[len(pages) // 2 + 1 :]
    data = b"".join(before + after)
    assert refusal(data) == (
        f"talk: 1 pages before byte {sum(map(len, before))} are missing: it is "
        "damaged there; give the whole recording."
    )
    kept = Recording(data, truncated="keep")
    assert samples.seconds_of(kept) == pytest.approx(
        SECONDS, abs=0.1
    )  # with silence for what is missing
    assert kept.is_complete is False


@pytest.mark.parametrize("encoding", ["webm", "webm streamed"])
def test_a_webm_with_a_hole_is_refused(encoding: str) -> None:
    data = bytearray(samples.encoded(encoding))
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    assert "cut off" in refusal(bytes(data))


def test_timestamps_that_jump_by_hours_are_refused() -> None:
    """Otherwise a few bytes would be days of silence."""
    call = samples.in_container(
        samples.encoded("webm"), container="webm", pause=7_200, picture=False
    )
    assert "it cannot be decoded beyond" in refusal(call)


@pytest.mark.parametrize("rate", [1, 999, 1_000_001, 2**31 - 1])
def test_impossible_rates_are_refused(rate: int) -> None:
    data = WAV[:24] + rate.to_bytes(4, "little") + WAV[28:]
    assert refusal(data) == (
        f"talk: its header states {rate} samples a second, and 1000 to 1000000 are read: "
        "the header is wrong."
    )


@pytest.mark.parametrize("truncated", ["error", "keep"])
def test_a_cut_file_without_its_index_is_refused_in_any_case(truncated: Truncated) -> None:
    whole = samples.encoded("m4a")
    with pytest.raises(VoxtralAudioError, match=r"cannot be opened .*: it is cut off or damaged"):
        list(Recording(whole[: len(whole) // 2], truncated=truncated).iter_samples())


@pytest.mark.parametrize("declared", [0, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000])
def test_a_wav_that_was_written_as_a_stream_is_decoded_to_its_end(declared: int) -> None:
    recording = Recording(samples.with_declared_size(WAV, declared))
    assert (recording.duration, samples.seconds_of(recording)) == (SECONDS, SECONDS)


ROUND = [2_000_000_000, 1_500_000_000, 400_000_000]


@pytest.mark.parametrize("declared", ROUND)
@pytest.mark.parametrize("container", [0, 0xFFFF_FFFF, 352_036, None])
def test_a_round_length_of_a_wav_is_a_placeholder(declared: int, container: int | None) -> None:
    riff = declared + 36 if container is None else container
    wav = WAV[:4] + riff.to_bytes(4, "little") + WAV[8:]
    recording = Recording(samples.with_declared_size(wav, declared))
    assert (recording.duration, samples.seconds_of(recording)) == (SECONDS, SECONDS)


@pytest.mark.parametrize("declared", [0, 0x7FFF_FFFF, 0xFFFF_FFFF, (1 << 64) - 1, *ROUND])
def test_a_placeholder_in_an_rf64_is_recognized(declared: int) -> None:
    rf64 = samples.encoded("wav rf64")
    at = rf64.index(b"ds64") + 16
    recording = Recording(rf64[:at] + declared.to_bytes(8, "little") + rf64[at + 8 :])
    assert (recording.duration, samples.seconds_of(recording)) == (SECONDS, SECONDS)


@pytest.mark.parametrize("declared", [0, 0x7FFF_FFFF, 0xFFFF_FFFF, *ROUND])
@pytest.mark.parametrize("encoding", ["aiff", "au"])
def test_a_placeholder_in_an_aiff_or_au_is_recognized(encoding: str, declared: int) -> None:
    data = samples.encoded(encoding)
    values = {8: declared}
    if encoding == "aiff":
        sound, frames = data.index(b"SSND") + 4, data.index(b"COMM") + 10
        values = {4: declared + 46, frames: declared // 2, sound: declared + 8}
    for at, value in values.items():
        data = data[:at] + min(value, 0xFFFF_FFFF).to_bytes(4, "big") + data[at + 4 :]
    recording = Recording(data)
    assert samples.seconds_of(recording) == SECONDS
    assert recording.duration in (None, SECONDS)


@pytest.mark.parametrize("declared", [400_000, 4_000_000, 123_456_788, 3_000_000_002])
def test_a_length_that_is_no_placeholder_is_believed(declared: int) -> None:
    wav = WAV[:4] + (declared + 36).to_bytes(4, "little") + WAV[8:]
    assert f"states {declared} bytes of sound" in refusal(samples.with_declared_size(wav, declared))


def test_a_round_length_that_the_container_contradicts_is_believed() -> None:
    wav = WAV[:4] + (1_000_000).to_bytes(4, "little") + WAV[8:]
    assert "it is cut off" in refusal(samples.with_declared_size(wav, 2_000_000_000))


def test_a_wav_that_declares_less_than_it_contains_is_refused() -> None:
    assert refusal(samples.with_declared_size(WAV, 100)) == (
        "talk: its header states 100 bytes of sound, and 351900 bytes after it are neither "
        "sound nor chunks: the header is wrong; save the recording anew."
    )


@pytest.mark.parametrize("encoding", JOINED_IS_ILL)
@pytest.mark.parametrize("seconds", [0.05, 3])
def test_joined_files_are_refused_where_only_the_first_would_be_decoded(
    encoding: str, seconds: float
) -> None:
    one, two = (
        samples.encoded(encoding),
        samples.encoded(encoding, samples.noise(seconds)),
    )
    assert refusal(one + two) == (
        f"talk: another recording begins at byte {len(one)}: files were joined, and only the "
        "first would be decoded; give each on its own."
    )


@pytest.mark.parametrize("encoding", ["flac", "flac streamed", "au"])
def test_joined_files_are_decoded_to_the_end_where_ffmpeg_continues(encoding: str) -> None:
    data = samples.encoded(encoding) + samples.encoded(encoding, samples.noise(3))
    assert samples.seconds_of(data) == pytest.approx(SECONDS + 3, abs=0.01)


def test_a_caf_that_is_joined_to_another_is_refused() -> None:
    data = samples.encoded("caf") + samples.encoded("caf", samples.noise(3))
    assert "it cannot be decoded beyond 11.0 s of 14.1 s" in refusal(data)


def test_a_second_data_chunk_is_refused() -> None:
    assert "another recording begins" in refusal(WAV + samples.chunk(b"data", WAV[44:]))


def test_chunks_around_the_audio_are_skipped() -> None:
    extra = samples.chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0")
    data = samples.with_chunks(WAV, extra, extra + samples.chunk(b"id3 ", samples.id3(99)))
    assert samples.seconds_of(data) == SECONDS
    assert samples.seconds_of(data + b"TAG" + bytes(125)) == SECONDS


@pytest.mark.parametrize("pad", [b"\0", b""])
def test_a_chunk_after_an_odd_number_of_bytes_is_skipped(pad: bytes) -> None:
    sound = samples.speech()[:16_001]
    data = samples.encoded("wav mu-law", sound)
    data = data[: data.index(b"data") + 8 + len(sound)] + pad + samples.chunk(b"LIST", bytes(3_000))
    assert samples.seconds_of(data) == 16_001 / 16_000


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (WAV[:20], "talk: its WAV header has no data chunk: it holds no sound."),
        (WAV[:36], "talk: its WAV header has no data chunk: it holds no sound."),
        (WAV[:44], "it is cut off"),
        (samples.with_declared_size(WAV, 0)[:44], "talk: it has no sound: 0 samples."),
        (WAV[:22] + b"\0\0" + WAV[24:], "talk: its WAV header has no usable format: 0 channels"),
        (
            WAV[:32] + b"\1\0" + WAV[34:],
            "talk: its WAV header contradicts itself: 1 channels of 16 bits in 1 bytes; save ",
        ),
        (
            WAV[:20] + b"\x77\x77" + WAV[22:],
            "talk: it begins like wav and its encoding is not known.",
        ),
    ],
)
def test_broken_wav_headers_are_refused(data: bytes, messages: str) -> None:
    assert messages in refusal(data)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_samples_that_are_not_numbers_are_refused(bad: float, rate: int) -> None:
    sound = samples.speech(rate=rate).copy()
    sound[rate * 3 // 2] = bad
    assert refusal(samples.encoded("wav float", sound, rate)) == (
        f"talk: its sample at 1.500 s is {bad}, no number: save the recording anew."
    )


def test_an_mp3_with_tags_and_without_a_length_is_decoded() -> None:
    frames = samples.encoded("mp3 without xing")
    tagged = samples.id3(70_000) + frames + b"APETAGEX" + bytes(24) + b"TAG" + bytes(125)
    recording = Recording(tagged)
    assert recording.duration == pytest.approx(11.088, abs=0.1)
    assert samples.seconds_of(recording) == pytest.approx(11.088)


def test_an_mp3_of_variable_bit_rate_without_a_length_is_measured() -> None:
    """Frames of 32 and 320 kbit/s in turn: the first alone would give five times the length."""
    low, high = b"\xff\xfb\x10\xc4" + bytes(100), b"\xff\xfb\xe0\xc4" + bytes(1040)
    assert Recording((low + high) * 20).duration == 40 * 1152 / 44_100
    assert Recording((low + high) * 20 + b"TAG" + bytes(125)).duration == 40 * 1152 / 44_100


def test_an_mp3_with_a_hole_is_refused() -> None:
    frames = samples.encoded("mp3")
    hole = frames[:20_000] + b"hole" * 500 + frames[22_000:]
    assert "it is cut off or damaged there" in refusal(hole)


def test_an_mp3_followed_by_other_data_is_refused() -> None:
    frames = samples.encoded("mp3 without xing")
    junk = np.random.default_rng(1).bytes(100_000)
    assert "it is cut off or damaged there" in refusal(frames + junk)
    assert samples.seconds_of(frames + b"LYRICSBEGIN" * 100) == pytest.approx(11.088)


def test_an_mp3_is_searched_through_zeros_and_many_tags() -> None:
    frames = samples.encoded("mp3 without xing")
    seam = bytes(200_000) + samples.id3(0) * 1_000
    seam += bytes(-(len(frames) + len(seam) + 4) % 65_536) + b"APETAGEX" + bytes(24)
    assert samples.seconds_of(frames + seam + frames) == pytest.approx(22.176, abs=0.05)


@pytest.mark.parametrize("channels", [1, 2])
def test_rate_and_channels_may_change_midway(channels: int) -> None:
    speech = samples.speech(rate=48_000)
    other = samples.encoded("mp3", np.column_stack([speech] * channels), 48_000)
    sound = samples.decoded(samples.encoded("mp3") + other)
    assert len(sound) / 16_000 == pytest.approx(2 * SECONDS, abs=0.2)
    begin = len(sound) - len(samples.speech())
    assert samples.likeness(sound[begin:], samples.speech()) > 0.98


def test_an_mp3_that_lacks_whole_frames_is_refused() -> None:
    frames = samples.encoded("mp3")
    at = frames.rindex(frames[:2], 0, 30_000)
    assert "it is cut off" in refusal(frames[:at])


def test_damage_within_a_flac_is_refused() -> None:
    data = bytearray(samples.encoded("flac"))
    data[60_000:60_050] = bytes(50)
    assert "it is cut off or damaged there" in refusal(bytes(data))


def test_a_video_without_audio_is_refused() -> None:
    import io  # noqa: PLC0415 - here only

    import av  # noqa: PLC0415 - here only

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as in_container:
        picture = in_container.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 64
        in_container.mux(picture.encode(av.VideoFrame(64, 64, "yuv420p")))
        in_container.mux(picture.encode(None))
    assert refusal(file.getvalue()) == "talk: it has no sound: there is no audio track in it."


def test_a_text_file_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "talk.txt"
    path.write_text("text")
    with path.open() as file, pytest.raises(VoxtralAudioError, match="must be a path, bytes or a"):
        Recording(file)  # type: ignore[arg-type]
