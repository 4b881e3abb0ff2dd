"""Word errors and speed of the embedded engine's transcription, by language and recording.

    PYTHONPATH=tests python benchmarks/word_errors.py

Everything goes through `VoxtralTranscriptionParser(base_url="local")`, without a language named.
The first table has the recordings of this repository, and eight prompts each of a telephone system
in French, Spanish and Italian by real speakers, if Debian's packages with them are installed; it
installs nothing. The second table has one recording written anew in other formats and rates. At the
end are translations into English.

Rates are of words, after case, punctuation and hyphens are taken out
(`tests/support/reference_transcripts.py`). The prompts' texts are the publisher's scripts, out of
the packages' documentation, and not written from the recordings: they have some spelling mistakes,
and a speaker may have said another word. The Spanish one has no accents, so Spanish is compared
without them. RTF is the time to transcribe, requests and decoding included, by the length of the
sound; CPU is the processor's time, which other processes do not lengthen, by the same.
"""

import gzip
import time
import unicodedata
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from support.reference_transcripts import LANGUAGES, TALK, TRANSCRIPTS, TRANSLATIONS, word_errors
from support.speech_samples import encoded, speech, talk

from langchain_voxtral import VoxtralTranscriptionParser

FORMATS = {
    "mp3": ("mp3", 44_100, 1),
    "opus": ("opus", 48_000, 1),
    "wav mu-law 8 kHz": ("wav mu-law", 8_000, 1),
    "wav 48 kHz stereo": ("wav", 48_000, 2),
}
"""How `encoded` writes it, samples a second, channels."""

SOUNDS, TEXTS = Path("/usr/share/asterisk/sounds"), Path("/usr/share/doc")
SPEAKERS = {"fr": "fr_CA_f_June", "es": "es_MX_f_Allison", "it": "it_IT_m_Carlo"}
PROMPTS = (
    "agent-incorrect",
    "auth-incorrect",
    "confbridge-pin",
    "demo-echotest",
    "pbx-invalidpark",
    "ss-noservice",
    "vm-mailboxfull",
    "vm-nobox",
)
"""Prompts of 4 s and more in all three languages, whose texts have no digits and no remarks."""
TRANSLATED = "ss-noservice"

parse = VoxtralTranscriptionParser(base_url="local", progress=False).parse
translate = VoxtralTranscriptionParser(base_url="local", progress=False, task="translate").parse


class Sample(NamedTuple):
    """A recording and what is said in it."""

    language: str
    name: str
    text: str
    sound: Path | bytes


class Transcribed(NamedTuple):
    """A sample, its transcript, its length, and the time that it took, all in seconds."""

    sample: Sample
    text: str
    seconds: float
    took: float
    processor: float
    detected: str


def from_debian(language: str) -> list[Sample]:
    """Return the prompts in a language; none if they are not installed."""
    folder, package = SOUNDS / SPEAKERS[language], f"asterisk-core-sounds-{language}"
    script = TEXTS / package / f"core-sounds-{language}.txt.gz"
    if not (folder.is_dir() and script.is_file()):
        return []
    with gzip.open(script, "rt", encoding="utf-8-sig") as lines:
        texts = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
    return [Sample(language, name, texts[name], folder / f"{name}.wav") for name in PROMPTS]


def transcribed(sample: Sample) -> Transcribed:
    """Transcribe a recording."""
    begun, worked = time.perf_counter(), time.process_time()
    [document] = parse(sample.sound)
    took, processor = time.perf_counter() - begun, time.process_time() - worked
    told = document.metadata
    detected = f"{told.get('language')} {told.get('language_probability', 0):.2f}"
    return Transcribed(sample, document.page_content, told["duration"], took, processor, detected)


def without_accents(text: str) -> str:
    """Return a text in which letters have no accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def row(name: str, made: Iterable[Transcribed], detected: str = "") -> None:
    """Print a line of a table: one recording, or several together."""
    all_made = list(made)
    plain: Callable[[str], str] = str
    if all_made[0].sample.language == "es":
        plain = without_accents
    found = word_errors(
        [plain(one.sample.text) for one in all_made], [plain(one.text) for one in all_made]
    )
    words = found.hits + found.substitutions + found.deletions
    wrong = words - found.hits + found.insertions
    seconds = sum(one.seconds for one in all_made)
    took = sum(one.took for one in all_made) / seconds
    processor = sum(one.processor for one in all_made) / seconds
    errors = f"{seconds:7.1f} | {words:5} | {wrong:5} | {found.wer:6.1%}"
    print(f"| {name:<20} | {errors} | {took:5.2f} | {processor:5.2f} | {detected:<8} |")


def head(what: str) -> None:
    """Print the head of a table."""
    print(f"\n| {what:<20} | seconds | words | wrong |    WER |   RTF |   CPU | language |")
    print("|---|---|---|---|---|---|---|---|")


def by_language(samples: list[Sample]) -> None:
    """Print the table of all recordings, with a sum for each language."""
    head("recording")
    for language, group in groupby(samples, lambda sample: sample.language):
        made = []
        for sample in group:
            made.append(transcribed(sample))
            row(sample.name, made[-1:], made[-1].detected)
        row(f"**all {language}**", made)


def by_format() -> None:
    """Print the table of the formats."""
    head("44 s as")
    for name, (way, rate, channels) in FORMATS.items():
        samples = speech(talk(), rate)
        sound = samples if channels == 1 else np.column_stack([samples] * channels)
        made = transcribed(Sample("en", name, TALK, encoded(way, sound, rate)))
        row(name, [made], made.detected)


def translations(samples: list[Sample]) -> None:
    """Print what is said in some recordings, and the engine's translation."""
    print("\n| recording | said | translated |\n|---|---|---|")
    for sample in samples:
        if sample.sound in TRANSLATIONS or sample.name == TRANSLATED:
            [document] = translate(sample.sound)
            print(f"| {sample.language} {sample.name} | {sample.text} | {document.page_content} |")


def main() -> None:
    """Print all tables."""
    samples = [Sample(LANGUAGES[path], path.stem, text, path) for path, text in TRANSCRIPTS.items()]
    missing = []
    for language in SPEAKERS:
        samples += (prompts := from_debian(language))
        missing += [] if prompts else [f"asterisk-core-sounds-{language}-wav"]
    samples.sort(key=lambda sample: sample.language)
    parse(encoded("wav", speech()[:48_000]))  # loads the model
    by_language(samples)
    by_format()
    translations(samples)
    if missing:
        print(f"\nFor more recordings of real speakers: apt-get install {' '.join(missing)}")


if __name__ == "__main__":
    main()
