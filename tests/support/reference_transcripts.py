"""What is said in the recordings that tests hear, and how much of it was heard wrongly."""

from collections.abc import Sequence
from pathlib import Path

import jiwer
from support.speech_samples import BECKETT, TWO_CITIES

_SPEECH = Path(__file__).parents[1] / "speech"

SAID = {
    BECKETT: "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.",
    TWO_CITIES: "It was the best of times, it was the worst of times, it was the age of wisdom, it "
    "was the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it "
    "was the season of Light, it was the season of Darkness, it was the spring of hope, it was the "
    "winter of despair, we had everything before us, we had nothing before us, we were all going "
    "direct to Heaven, we were all going direct the other way—in short, the period was so far like "
    "the present period, that some of its noisiest authorities insisted on its being received, for "
    "good or for evil, in the superlative degree of comparison only.",
    _SPEECH / "jfk.flac": "And so, my fellow Americans, ask not what your country can do for you, "
    "ask what you can do for your country.",
    _SPEECH / "austen_0870.flac": "And Mr. John Dashwood had then leisure to consider how much "
    "there might be prudently in his power to do for them.",
    _SPEECH / "austen_0880.flac": "He was not an ill-disposed young man,",
    _SPEECH / "austen_0890.flac": "unless to be rather cold hearted, and rather selfish, is to be "
    "ill-disposed.",
    _SPEECH / "austen_0920.flac": "Had he married a more amiable woman, he might have been made "
    "still more respectable than he was:",
    _SPEECH / "austen_0930.flac": "he might even have been made amiable himself;",
}
"""Recordings, all of 44 s at most, and their words. None but `BECKETT` and `TWO_CITIES` was ever
looked at when the engine was set up."""

HELD_OUT = tuple(path for path in SAID if path.parent == _SPEECH)
"""The recordings that the engine was not set up with."""

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
"""Case, punctuation, hyphens and the spelling of "mister" are not heard; no number is said."""


def word_errors(said: str | Sequence[str], heard: str | Sequence[str]) -> jiwer.WordOutput:
    """Compare one text, or several, with what was heard; `wer` of the result is the rate."""
    return jiwer.process_words(
        said if isinstance(said, str) else list(said),
        heard if isinstance(heard, str) else list(heard),
        reference_transform=_WORDS,
        hypothesis_transform=_WORDS,
    )
