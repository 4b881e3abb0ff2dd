"""Phrases that a text repeats without end, as models do over silence and noise."""

import math
import re
from functools import lru_cache
from operator import eq

_MAX_PHRASE = 30
"""Words of a phrase."""
_MIN_REPEATED = 20
"""Words that are repetitions, all together; of a single word fewer are enough."""
_MIN_REPETITIONS, _MAX_REPETITIONS = 4, 10
"""How often a phrase of five words or more must occur, and a single word."""

_UNIT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
"""A word, or a character of Chinese and Japanese, which have no spaces."""


@lru_cache(maxsize=16)  # all segments of a chunk look at the same text
def find_repetition(text: str) -> str | None:
    """Return a phrase that occurs again and again in a row; None if there is none."""
    found = list(_UNIT.finditer(text))
    units = [unit[0] for unit in found]
    for length in range(1, min(_MAX_PHRASE, len(units) // _MIN_REPETITIONS) + 1):
        repetitions = max(math.ceil(_MIN_REPEATED / length), _MIN_REPETITIONS)
        is_repeated = bytes(map(eq, units, units[length:]))
        at = is_repeated.find(b"\x01" * length * (min(repetitions, _MAX_REPETITIONS) - 1))
        if at >= 0:
            return " ".join(text[found[at].start() : found[at + length - 1].end()].split())
    return None
