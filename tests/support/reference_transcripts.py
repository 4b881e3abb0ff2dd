"""Reference transcripts of the recordings of the tests, and word errors against them."""

from collections.abc import Sequence
from pathlib import Path

import jiwer
from support.speech_samples import BECKETT, TWO_CITIES

_FOLDER = Path(__file__).parents[1] / "speech"

TRANSCRIPTS = {
    BECKETT: "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.",
    TWO_CITIES: "It was the best of times, it was the worst of times, it was the age of wisdom, it "
    "was the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it "
    "was the season of Light, it was the season of Darkness, it was the spring of hope, it was the "
    "winter of despair, we had everything before us, we had nothing before us, we were all going "
    "direct to Heaven, we were all going direct the other way—in short, the period was so far like "
    "the present period, that some of its noisiest authorities insisted on its being received, for "
    "good or for evil, in the superlative degree of comparison only.",
    _FOLDER / "jfk.flac": "And so, my fellow Americans, ask not what your country can do for you, "
    "ask what you can do for your country.",
    _FOLDER / "austen_0870.flac": "And Mr. John Dashwood had then leisure to consider how much "
    "there might be prudently in his power to do for them.",
    _FOLDER / "austen_0880.flac": "He was not an ill-disposed young man,",
    _FOLDER / "austen_0890.flac": "unless to be rather cold hearted, and rather selfish, is to be "
    "ill-disposed.",
    _FOLDER / "austen_0920.flac": "Had he married a more amiable woman, he might have been made "
    "still more respectable than he was:",
    _FOLDER / "austen_0930.flac": "he might even have been made amiable himself;",
}
"""Recordings of at most 44 s and their words. Only `BECKETT` and `TWO_CITIES` were used to tune the
engine."""

HELD_OUT = tuple(path for path in TRANSCRIPTS if path.parent == _FOLDER)
"""The recordings that were not used to tune the engine."""

_WORDS = jiwer.Compose(
    [
        jiwer.ToLowerCase(),
        jiwer.SubstituteRegexes({"[-—]": " ", r"\bmr\b\.?": "mister"}),
        jiwer.RemovePunctuation(),  # type: ignore[no-untyped-call]
        jiwer.RemoveMultipleSpaces(),
        jiwer.Strip(),
        jiwer.ReduceToListOfListOfWords(),
    ]
)
"""Ignores case, punctuation, hyphens and the spelling of "mister"; no text has numbers."""


def word_errors(
    reference: str | Sequence[str], hypothesis: str | Sequence[str]
) -> jiwer.WordOutput:
    """Compare one text or several with their transcripts; `wer` of the result is the error rate."""
    return jiwer.process_words(
        reference if isinstance(reference, str) else list(reference),
        hypothesis if isinstance(hypothesis, str) else list(hypothesis),
        reference_transform=_WORDS,
        hypothesis_transform=_WORDS,
    )
