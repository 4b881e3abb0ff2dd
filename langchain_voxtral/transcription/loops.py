"""Loops: what models write, over and over, when they hear silence or noise."""

from functools import lru_cache
from itertools import pairwise

__all__ = ["looped"]

_LONGEST = 12
_TIMES = 10


@lru_cache(maxsize=16)  # all segments of a chunk ask for the same text
def looped(text: str) -> str | None:
    """Return a phrase of up to 12 words that stands in a text 10 times in a row, if there is one.

    Nobody speaks like that, but choruses may: so it is told, and nothing is left out.

    Args:
        text: A transcript.

    Example:
        ```python
        from langchain_voxtral.transcription.loops import looped

        assert looped("He said: " + "thank you. " * 10) == "thank you."
        assert looped("Ever tried. Ever failed. No matter. Try again. Fail again.") is None
        ```
    """
    words = text.split()
    for length in range(1, _LONGEST + 1):
        breaks = [at for at in range(len(words) - length) if words[at] != words[at + length]]
        for before, after in pairwise([-1, *breaks, len(words) - length]):
            if after - before > length * (_TIMES - 1):
                return " ".join(words[before + 1 : before + 1 + length])
    return None
