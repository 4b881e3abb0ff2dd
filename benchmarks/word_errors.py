"""How many words the embedded engine mishears, and how long it takes: real speech, no server.

    PYTHONPATH=tests python benchmarks/word_errors.py

The first table has each recording, the second all of them together, written anew in other formats
and rates. Rates are of words, after case, punctuation and hyphens are taken out
(`tests/support/reference_transcripts.py`);
RTF is the time to hear, decoding included, by the length of the sound.
"""

import time
from pathlib import Path

import numpy as np
from support.reference_transcripts import TRANSCRIPTS, word_errors
from support.speech_samples import encoded, speech

from langchain_voxtral.audio import Recording
from langchain_voxtral.local.engine.speech import SpeechEngine

FORMATS = {
    "wav": ("wav", 16_000, 1),
    "mp3": ("mp3", 44_100, 1),
    "flac": ("flac", 44_100, 1),
    "ogg": ("ogg", 44_100, 1),
    "opus": ("opus", 48_000, 1),
    "m4a": ("m4a", 44_100, 1),
    "webm": ("webm", 48_000, 1),
    "wav mu-law": ("wav mu-law", 8_000, 1),
    "wav 8 kHz": ("wav", 8_000, 1),
    "wav 48 kHz stereo": ("wav", 48_000, 2),
}
"""How `encoded` writes it, samples a second, channels."""


def heard_in(engine: SpeechEngine, sound: bytes) -> tuple[str, float]:
    """Return what is said, and the seconds that hearing it took."""
    begun = time.perf_counter()
    text = " ".join(segment.text for segment in engine.transcribe(Recording(sound).iter_samples()))
    return text, time.perf_counter() - begun


def written(path: Path, way: str, rate: int, channels: int) -> bytes:
    """Return a recording in another format."""
    samples = speech(path, rate)
    return encoded(way, samples if channels == 1 else np.column_stack([samples] * channels), rate)


def row(name: str, seconds: float, said: list[str], heard: list[str], took: float) -> None:
    """Print a line of a table."""
    found = word_errors(said, heard)
    words = found.hits + found.substitutions + found.deletions
    wrong = words - found.hits + found.insertions
    rates = f"{found.wer:6.1%} | {took / seconds:.3f}"
    print(f"| {name:<17} | {seconds:7.1f} | {words:5} | {wrong:5} | {rates} |")


def head(what: str) -> None:
    """Print the head of a table."""
    print(f"\n| {what:<17} | seconds | words | wrong |    WER |   RTF |\n|---|---|---|---|---|---|")


def main() -> None:
    """Hear everything, and print both tables."""
    engine = SpeechEngine()
    heard_in(engine, encoded("wav"))  # loads the model
    seconds = {path: len(speech(path)) / 16_000 for path in TRANSCRIPTS}
    heard = {path: heard_in(engine, path.read_bytes()) for path in TRANSCRIPTS}
    head("recording")
    for path, (text, took) in heard.items():
        row(path.stem, seconds[path], [TRANSCRIPTS[path]], [text], took)
    for name, paths in (("all", tuple(TRANSCRIPTS)),):
        row(
            name,
            sum(seconds[path] for path in paths),
            [TRANSCRIPTS[path] for path in paths],
            [heard[path][0] for path in paths],
            sum(heard[path][1] for path in paths),
        )
    head("all, as")
    for name, (way, rate, channels) in FORMATS.items():
        texts, times = zip(
            *(heard_in(engine, written(path, way, rate, channels)) for path in TRANSCRIPTS),
            strict=True,
        )
        row(name, sum(seconds.values()), list(TRANSCRIPTS.values()), list(texts), sum(times))


if __name__ == "__main__":
    main()
