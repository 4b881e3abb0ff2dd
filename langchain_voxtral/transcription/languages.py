"""The language of a document: what is known of it, and how."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_voxtral.transcription.results import ChunkResult, has_speech, joined_values


class _Known(NamedTuple):
    language: str
    source: str
    probability: float | None = None


def language_facts(
    results: Sequence[ChunkResult], asked: str | None, *, is_translation: bool
) -> dict[str, Any]:
    """Return the languages of the chunks that have speech, how they are known, and how surely.

    Where chunks differ, all their languages and sources are listed, and none is chosen. The
    probability is the lowest of all, and unknown if one is.

    Args:
        results: The chunks of a document.
        asked: The language that was requested.
        is_translation: Whether the text is a translation: then a server that does not tell how it
            knows the language may have named that of the text, as OpenAI's do.
    """
    spoken = [one for one in results if has_speech(one)]
    found = [_known(one, asked, is_translation=is_translation) for one in spoken]
    known = [one for one in found if one is not None]
    probabilities = [one.probability for one in known if one.probability is not None]
    is_sure = len(probabilities) == len(known)
    return {
        "language": joined_values(one.language for one in known),
        "language_probability": min(probabilities, default=None) if is_sure else None,
        "language_source": joined_values(one.source for one in known),
    }


def _known(result: ChunkResult, asked: str | None, *, is_translation: bool) -> _Known | None:
    """Return what a server says and how it knows it, else what was asked, else what it says."""
    told = None if result.response is None else result.response.transcript
    if told is not None and told.language and told.language_source:
        return _Known(told.language, told.language_source, told.language_probability)
    if asked is not None:
        return _Known(asked, "asked")
    if told is None or not told.language or is_translation:
        return None
    return _Known(told.language, "server", told.language_probability)
