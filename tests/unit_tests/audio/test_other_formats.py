"""What FFmpeg decodes is a recording, whatever its format; it reads nothing but the given bytes."""

from pathlib import Path

import pytest
from support import speech_samples as samples
from support.scripted_server import ScriptedServer

from langchain_voxtral.audio import Recording
from langchain_voxtral.audio.upload import encode_for_upload
from langchain_voxtral.errors import VoxtralAudioError

SECONDS = 4.0
RATES = {"amr": 8_000, "ac3": 48_000, "rm": 48_000}
NAMES = {"wma": "asf", "wavpack": "wv", "latm": "loas"}


def encoded(encoding: str) -> bytes:
    """Return four seconds of speech."""
    rate = RATES.get(encoding, 16_000)
    return samples.encoded(encoding, samples.speech(rate=rate)[: int(SECONDS * rate)], rate)


@pytest.mark.parametrize("encoding", samples.OTHER_ENCODINGS)
def test_what_ffmpeg_decodes_is_a_recording(encoding: str) -> None:
    recording = Recording(encoded(encoding))
    sound = samples.decoded(recording)
    assert recording.format.name == NAMES.get(encoding, encoding)
    assert recording.is_complete is True
    assert len(sound) / 16_000 == pytest.approx(SECONDS, abs=0.15)
    assert samples.likeness(sound, samples.speech()[:64_000]) > (0.7 if encoding == "amr" else 0.98)
    assert recording.duration in (None, pytest.approx(SECONDS, abs=0.15))


def test_a_mov_without_a_file_type_is_a_recording() -> None:
    mov = samples.in_container(encoded("m4a"), container="mov", picture=False)
    old = mov.replace(b"ftyp", b"wide", 1)
    assert (Recording(old).format.name, samples.seconds_of(old)) == ("mp4", samples.seconds_of(mov))


def test_other_formats_are_sent_as_wav() -> None:
    upload = encode_for_upload(encoded("mp2"), accepted_formats={"wav", "mp3", "mp2"})
    assert upload.format.name == "wav"


@pytest.mark.parametrize("encoding", ["avi", "w64", "flv"])
def test_other_formats_that_state_their_size_are_refused_when_cut_off(encoding: str) -> None:
    data = encoded(encoding)
    with pytest.raises(VoxtralAudioError, match="it is cut off"):
        samples.decoded(data[: len(data) * 6 // 10])


def test_a_placeholder_in_a_w64_is_recognized() -> None:
    w64 = encoded("w64")
    at = w64.index(b"data") + 16
    for size in (0, 24, 2_000_000_000, (1 << 63) - 1, (1 << 64) - 1):
        data = w64[:at] + size.to_bytes(8, "little") + w64[at + 8 :]
        assert samples.seconds_of(data) == pytest.approx(SECONDS, abs=0.001)  # padded


def playlists(address: str) -> dict[str, str]:
    """Return files that FFmpeg reads other files for, or that hold text."""
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{address}'\n",
        "dash": f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{address}</BaseURL></MPD>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0",
        "subtitles": "1\n00:00:01,000 --> 00:00:02,000\nHello.\n\n",
        "web page": "<!DOCTYPE html><html><body>Not found</body></html>" * 20,
        "metadata": ";FFMETADATA1\ntitle=x\n",
        "lyrics": "[00:12.00]Line 1\n[00:17.20]Line 2\n",
    }


@pytest.mark.parametrize("kind", playlists(""))
def test_playlists_and_texts_are_no_recordings(kind: str, tmp_path: Path) -> None:
    sound = tmp_path / "sound.wav"
    sound.write_bytes(samples.encoded("wav"))
    with ScriptedServer() as server:
        for address in (f"{server.url}/sound.wav", str(sound), f"file:{sound}"):
            path = tmp_path / "list.m3u8"
            path.write_text(playlists(address)[kind])
            with pytest.raises(VoxtralAudioError, match="it is no recording of a known kind"):
                Recording(path)
        assert server.requests == []


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(99), b"GIF89a" + bytes(99), bytes(9_000)]
)
def test_pictures_and_zeros_are_no_recordings(data: bytes) -> None:
    with pytest.raises(VoxtralAudioError, match="it is no recording of a known kind"):
        Recording(data)
