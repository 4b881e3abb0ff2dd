"""Stop sequences, kept even when a server ignores or echoes them."""

import re
from collections.abc import Sequence


class StopSequenceFilter:
    """Cuts a streamed text at the first stop sequence, wherever the pieces are split.

    The sequence that is complete first wins; of two that end at the same place, the longer.
    Only characters that may begin a stop sequence are held back, and they are released as
    soon as they turn out not to.

    Args:
        stops: The sequences; none of them is empty.

    Example:
        ```python
        trimmer = StopTrimmer(["STOP"])
        assert [trimmer.feed(piece) for piece in ("one ", "ST", "OP two")] == ["one ", "", ""]
        assert trimmer.stopped
        ```
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.stopped = False
        self._stops = tuple(stops)
        self._held = ""
        self._longest = max(map(len, self._stops), default=0)
        firsts = "".join(sorted({re.escape(stop[0]) for stop in self._stops}))
        self._may_begin = re.compile(f"[{firsts}]") if firsts else None

    def feed(self, text: str) -> str:
        """Return what of the text so far can be shown now."""
        if self.stopped:
            return ""
        if not self._held and (self._may_begin is None or not self._may_begin.search(text)):
            return text
        text = self._held + text
        cut = self._first_stop(text)
        if cut is not None:
            self.stopped, self._held = True, ""
            return text[:cut]
        keep = self._undecided_from(text)
        self._held = text[keep:]
        return text[:keep]

    def close(self) -> str:
        """Return what was held back: the text ended, so it begins no stop sequence."""
        held, self._held = self._held, ""
        return held

    def _first_stop(self, text: str) -> int | None:
        found = [
            (start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0
        ]
        return min(found)[1] if found else None

    def _undecided_from(self, text: str) -> int:
        """Return where the longest end of the text begins that may yet become a stop."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if any(stop.startswith(text[start:]) for stop in self._stops):
                return start
        return len(text)
