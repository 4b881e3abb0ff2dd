"""What `transcribe` reports on stderr: a line for each recording, and a summary."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_voxtral.protocol.languages import LANGUAGES


@dataclass(slots=True)
class RunSummary:
    """What was transcribed, and what it cost.

    Args:
        remaining: Recordings that are not finished.
        seconds: The length of each recording that was transcribed.
        costs: US dollars for each; None if not known.
        cost_sources: Sources of the known costs: `"server"`, `"estimated"`, `"not_sent"`.
        without_speech: Recordings in which nothing is said.
        failed: Recordings that failed.
    """

    remaining: int
    seconds: list[float] = field(default_factory=list)
    costs: list[float | None] = field(default_factory=list)
    cost_sources: set[str] = field(default_factory=set)
    without_speech: int = 0
    failed: int = 0

    def add(self, metadata: Mapping[str, Any]) -> None:
        """Count a recording, by the metadata of its document."""
        self.seconds.append(metadata["duration"])
        self.costs.append(metadata.get("cost"))
        if "cost" in metadata:
            self.cost_sources.add(metadata["cost_source"])
        self.without_speech += "no_speech" in metadata
        self.remaining -= 1

    def add_failure(self) -> None:
        """Count a recording that failed."""
        self.failed += 1
        self.remaining -= 1

    def text(self) -> str:
        """Return the last line of a run: how much, its cost and source, and what is missing."""
        done = f"{count_recordings(len(self.seconds))}, {sum(self.seconds):.1f} s of audio"
        line = done + self._cost() if self.seconds else "Nothing was transcribed"
        if self.without_speech:
            line += f"; {self.without_speech} without speech"
        missing = {"that failed": self.failed, "not finished": self.remaining}
        not_counted = ", ".join(f"{count} {what}" for what, count in missing.items() if count)
        return f"{line}; not counted: {not_counted}" if not_counted else line

    def _cost(self) -> str:
        known = [cost for cost in self.costs if cost is not None]
        text = ""
        if known:
            source = "estimated" if "estimated" in self.cost_sources else "reported by the server"
            text = f", ${sum(known):.6f} ({source})" if any(known) else ", free of charge"
        if unknown := len(self.costs) - len(known):
            which = f"{count_recordings(unknown)} " if known else ""
            text += f", {which}at a price that is not known"
        return text


def describe_result(metadata: Mapping[str, Any], target: Path | None) -> str:
    """Return what is to be known of a recording beside its text, and where the text is."""
    facts = [_speech(metadata), _from_store(metadata), f"wrote {target}" if target else ""]
    return "; ".join(filter(None, facts))


def _from_store(metadata: Mapping[str, Any]) -> str:
    """Return how much an earlier run had left."""
    known = metadata.get("chunks_from_store")
    return f"{known} of {metadata['n_chunks']} chunks were there already" if known else ""


def _speech(metadata: Mapping[str, Any]) -> str:
    """Return that there is none, or its language, unless that was asked for or is not known."""
    if "no_speech" in metadata:
        return "no speech was found" + (" (silent, so not sent)" if "silent" in metadata else "")
    source = metadata.get("language_source", "")
    if "detected" not in source and "assumed" not in source:
        return ""
    codes = metadata["language"].split(", ")
    facts = source
    if "language_probability" in metadata:
        facts += f", probability {metadata['language_probability']:.2f}"
        facts += " or more" if metadata["n_chunks"] > 1 else ""
    return f"{', '.join(LANGUAGES.get(code, code) for code in codes)} ({facts})"


def count_recordings(recordings: int) -> str:
    """Return a number of recordings, in words."""
    return f"{recordings} recording{'' if recordings == 1 else 's'}"
