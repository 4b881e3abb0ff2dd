"""Speech recognition of the embedded engine: real, long, faint and silent recordings."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from support.local_speech import FRAMES, NATIVE, SHORT, TRANSLATIONS, ask, json_body, wav
from support.reference_transcripts import LANGUAGES, TALK, TRANSCRIPTS, word_errors
from support.reference_transcripts import TRANSLATIONS as TRANSLATIONS_OF
from support.speech_samples import (
    AUSTEN,
    ITALIAN,
    JFK,
    encoded,
    noise,
    pcm16,
    silence,
    speech,
    talk,
)

MILLISECONDS = 1e-3


@pytest.fixture(scope="module")
def talk_transcript(http: httpx.Client) -> dict[str, Any]:
    """The transcript of 44 s with pauses, with words."""
    return json_body(ask(http, NATIVE, talk().read_bytes(), chunk_level="word"))


def test_real_speech_is_transcribed(talk_transcript: dict[str, Any]) -> None:
    assert word_errors(TALK, talk_transcript["text"]).wer < 0.1, talk_transcript["text"]
    known = (talk_transcript["language"], talk_transcript["language_source"])
    assert known == ("en", "detected")
    assert 0.5 < talk_transcript["language_probability"] <= 1


def test_other_languages_are_transcribed_and_translated(http: httpx.Client) -> None:
    clip = ITALIAN
    sound = clip.read_bytes()
    transcript = json_body(ask(http, NATIVE, sound))
    translation = json_body(ask(http, TRANSLATIONS, sound, response_format="verbose_json"))
    assert word_errors(TRANSCRIPTS[clip], transcript["text"]).wer < 0.15, transcript["text"]
    assert word_errors(TRANSLATIONS_OF[clip], translation["text"]).wer < 0.3, translation["text"]
    for document in (transcript, translation):  # both name the language that is spoken
        known = (document["language"], document["language_source"])
        assert known == (LANGUAGES[clip], "detected")


def test_words_have_times_in_order_within_their_segments(talk_transcript: dict[str, Any]) -> None:
    words, segments = talk_transcript["words"], talk_transcript["segments"]
    # A word with a hyphen is two.
    joined = " ".join(word["text"] for word in words).replace(" -", "-")
    assert joined == talk_transcript["text"]
    assert " ".join(segment["text"] for segment in segments) == talk_transcript["text"]
    for parts in (words, segments):
        times = [time for part in parts for time in (part["start"], part["end"])]
        assert times == sorted(times)
        assert all(
            round(time / MILLISECONDS) * MILLISECONDS == pytest.approx(time) for time in times
        )
        assert times[-1] <= talk_transcript["duration"]
    bounds = {(segment["start"], segment["end"]) for segment in segments}
    assert all(
        any(start <= word["start"] <= word["end"] <= end for start, end in bounds) for word in words
    )


def test_segments_are_where_there_is_speech_in_a_long_recording(http: httpx.Client) -> None:
    """Silence before, after and between passages belongs to none of them.

    The engine processes three minutes at once, so the second passage is in another piece.
    """
    first, second = TRANSCRIPTS[AUSTEN[2]], TRANSCRIPTS[JFK]
    parts = [silence(3), speech(AUSTEN[2]), silence(185), speech(), silence(2)]
    transcript = json_body(ask(http, NATIVE, wav(b"".join(map(pcm16, parts))), language="en"))
    starts = np.cumsum([0, *map(len, parts)]) / 16_000
    segments = transcript["segments"]
    early = [one for one in segments if one["end"] <= starts[2] + 0.1]
    late = [one for one in segments if starts[3] - 0.5 <= one["start"]]
    assert early[0]["start"] >= 2.5
    assert late[-1]["end"] <= starts[4] + 0.1
    assert early + late == segments
    for said, heard in ((first, early), (second, late)):
        assert word_errors(said, " ".join(one["text"] for one in heard)).wer < 0.15, heard
    assert transcript["duration"] == starts[-1]


@pytest.mark.parametrize(
    ("encoding", "rate", "channels"), [("webm", 48_000, 1), ("wav mu-law", 8_000, 2)]
)
def test_other_kinds_of_files(http: httpx.Client, encoding: str, rate: int, channels: int) -> None:
    clip = AUSTEN[1]
    sound = np.column_stack([speech(clip, rate)] * channels) if channels > 1 else None
    made = encoded(encoding, speech(clip, rate) if sound is None else sound, rate)
    transcript = json_body(ask(http, sound=made, language="en"))["text"]
    assert word_errors(TRANSCRIPTS[clip], transcript).wer < 0.15, transcript


def test_faint_speech_is_transcribed(http: httpx.Client) -> None:
    faint = encoded("wav float", speech(AUSTEN[1]) / np.float32(200))
    transcript = json_body(ask(http, sound=faint, language="en"))["text"]
    assert word_errors(TRANSCRIPTS[AUSTEN[1]], transcript).wer < 0.15, transcript


def chord() -> bytes:
    time = np.arange(48_000) / 16_000
    tones = [np.sin(2 * np.pi * hertz * time) for hertz in (262, 330, 392)]
    return pcm16(np.asarray(sum(tones) * 0.2, dtype=np.float32))


@pytest.mark.parametrize(
    "frames",
    [bytes(800), bytes(96_000), pcm16(noise(3)), chord()],
    ids=["no time", "silence", "noise", "chord"],
)
def test_a_recording_without_speech_has_no_text_and_no_language(
    http: httpx.Client, frames: bytes
) -> None:
    transcript = json_body(ask(http, sound=wav(frames), response_format="verbose_json"))
    assert (transcript["text"], transcript["segments"]) == ("", [])
    names = ("language", "language_probability", "language_source")
    assert [transcript[name] for name in names] == [None] * 3
    assert transcript["duration"] == len(frames) / 32_000


def test_parallel_requests_get_their_own_answers(
    http: httpx.Client, verbose_transcript: dict[str, Any]
) -> None:
    sounds = [SHORT, wav(bytes(32_000)), SHORT, wav(FRAMES[: 2 * 16_000])]
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda sound: json_body(ask(http, sound=sound))["text"], sounds))
    assert texts[0] == texts[2] == verbose_transcript["text"]
    assert texts[1] == ""
    assert 0 < len(texts[3]) < len(texts[0])


def test_a_recording_is_transcribed_once(
    http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A chat sends the same recordings with every turn; at a temperature results differ."""

    def runs(**fields: Any) -> int:
        """Return how often faster-whisper runs for two equal requests."""
        caplog.clear()
        with caplog.at_level("INFO", "faster_whisper"):
            answers = [json_body(ask(http, language="en", **fields)) for _ in range(2)]
        if not fields:
            assert answers[0] == answers[1]
        return sum("Processing audio" in record.message for record in caplog.records)

    assert [runs(), runs(temperature=0.5)] == [1, 2]
