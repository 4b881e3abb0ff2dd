"""What a run of `transcribe` came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Tally", "recordings"]


@dataclass(slots=True)
class Tally:
    """What was transcribed so far, and what it cost.

    Args:
        left: Recordings that are still to be finished.
        seconds: How long each recording is that was transcribed.
        costs: US dollars for each; None if not known.
        sources: Who told the costs that are known: `"server"`, `"estimated"`.
        failed: Recordings that failed.
    """

    left: int
    seconds: list[float] = field(default_factory=list)
    costs: list[float | None] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    failed: int = 0

    def pay(self, metadata: Mapping[str, Any]) -> None:
        """Count a recording that was transcribed, by the metadata of its document."""
        self.seconds.append(metadata["duration"])
        self.costs.append(metadata.get("cost"))
        if "cost" in metadata:
            self.sources.add(metadata["cost_source"])
        self.left -= 1

    def fail(self) -> None:
        """Count a recording that failed."""
        self.failed += 1
        self.left -= 1

    def line(self) -> str:
        """Return the last line: how much, for how much, who says so, and what is missing."""
        done = f"{recordings(len(self.seconds))}, {sum(self.seconds):.1f} s of audio"
        line = done + self._price() if self.seconds else "Nothing was transcribed"
        missing = {"that failed": self.failed, "not finished": self.left}
        not_counted = ", ".join(f"{count} {what}" for what, count in missing.items() if count)
        return f"{line}; not counted: {not_counted}" if not_counted else line

    def _price(self) -> str:
        known = [cost for cost in self.costs if cost is not None]
        said = ""
        if known:
            teller = "told by the server" if self.sources == {"server"} else "estimated"
            said = f", ${sum(known):.6f} ({teller})" if any(known) else ", free of charge"
        if unknown := len(self.costs) - len(known):
            which = f"{recordings(unknown)} " if known else ""
            said += f", {which}at a price that is not known"
        return said


def recordings(count: int) -> str:
    """Return how many recordings, in words."""
    return f"{count} recording{'' if count == 1 else 's'}"
