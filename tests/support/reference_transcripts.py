"""Reference transcripts of the recordings of the tests, and word errors against them."""

from collections.abc import Sequence

import jiwer
from support.speech_samples import AUSTEN, FOLDER, FRENCH, GERMAN, ITALIAN, JFK, SPANISH

TRANSCRIPTS = {
    JFK: "And so, my fellow Americans, ask not what your country can do for you, "
    "ask what you can do for your country.",
    FOLDER / "austen_0870.flac": "And Mr. John Dashwood had then leisure to consider how much "
    "there might be prudently in his power to do for them.",
    FOLDER / "austen_0880.flac": "He was not an ill-disposed young man,",
    FOLDER / "austen_0890.flac": "unless to be rather cold hearted, and rather selfish, is to be "
    "ill-disposed.",
    FOLDER / "austen_0920.flac": "Had he married a more amiable woman, he might have been made "
    "still more respectable than he was:",
    FOLDER / "austen_0930.flac": "he might even have been made amiable himself;",
    FRENCH: "Le numéro que vous avez entré n'est pas en service.",
    SPANISH: "Buenos días. Mi hermana vive en una casa pequeña cerca del mar.",
    ITALIAN: "Domani mattina andiamo al mercato a comprare il pane e la frutta fresca.",
    GERMAN: "Guten Morgen. Meine Schwester wohnt in einem kleinen Haus am Meer.",
}
"""Recordings and their words."""

LANGUAGES = dict.fromkeys(TRANSCRIPTS, "en") | {
    FRENCH: "fr",
    SPANISH: "es",
    ITALIAN: "it",
    GERMAN: "de",
}
"""Recordings and their languages (ISO 639-1)."""

TRANSLATIONS = {
    FRENCH: "The number you have entered is not in service.",
    SPANISH: "Good morning. My sister lives in a small house near the sea.",
    ITALIAN: "Tomorrow morning we go to the market to buy bread and fresh fruit.",
    GERMAN: "Good morning. My sister lives in a small house by the sea.",
}
"""Recordings in other languages and their meaning in English."""

TALK = " ".join(TRANSCRIPTS[path] for path in (*AUSTEN, JFK))
"""What is said in `talk`."""

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
