"""Stop sequences, kept even when a server ignores or echoes them."""

import re
from collections.abc import Iterable, Sequence


def find_stop(text: str, stops: Iterable[str]) -> int | None:
    """Return where the first stop sequence begins, None if there is none.

    The sequence that is complete first wins; of two that end at the same place, the longer.
    """
    found = [(start + len(stop), start) for stop in stops if (start := text.find(stop)) >= 0]
    return min(found)[1] if found else None


class StopSequenceFilter:
    """Cuts a streamed text at the first stop sequence, wherever the pieces are split.

    Only characters that may begin a stop sequence are held back, until they turn out not to.

    Attributes:
        special_characters: Those that may begin a stop sequence.
        stopped: Whether the text has ended at one.
    """

    __slots__ = ("_find_first", "_held", "_max_length", "_stops", "special_characters", "stopped")

    def __init__(self, stops: Sequence[str]) -> None:
        self.stopped = False
        self._stops = stops
        self._held = ""
        self._max_length = max(map(len, stops), default=0)
        self.special_characters = firsts = "".join(sorted({stop[0] for stop in stops}))
        self._find_first = re.compile(f"[{re.escape(firsts)}]").search if firsts else None

    @property
    def is_plain(self) -> bool:
        """Whether text without a special character would come out unchanged."""
        return not (self._held or self.stopped)

    def feed(self, text: str) -> str:
        """Return what of the text so far can be shown now."""
        if self.stopped:
            return ""
        if not self._held and (self._find_first is None or not self._find_first(text)):
            return text
        text = self._held + text
        end = find_stop(text, self._stops)
        if end is not None:
            self.stop()
            return text[:end]
        keep = self._undecided_from(text)
        self._held = text[keep:]
        return text[:keep]

    def stop(self) -> None:
        """End the text here, without what was held back."""
        self.stopped, self._held = True, ""

    def finish(self) -> str:
        """Return what was held back: the text ended, so it begins no stop sequence."""
        held, self._held = self._held, ""
        return held

    def _undecided_from(self, text: str) -> int:
        """Return where the longest end of the text begins that may yet become a stop sequence."""
        for start in range(max(0, len(text) - self._max_length + 1), len(text)):
            if any(stop.startswith(text[start:]) for stop in self._stops):
                return start
        return len(text)
