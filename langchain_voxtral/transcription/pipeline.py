"""One recording on its way to documents: all but the asking."""

from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from langchain_voxtral.audio.pricing import Estimate, estimate_cost
from langchain_voxtral.errors import VoxtralAudioError, VoxtralInvalidRequestError
from langchain_voxtral.transcription.cuts import Cuts, Piece, Span, Windows, cut, planned
from langchain_voxtral.transcription.progress import Progress
from langchain_voxtral.transcription.request import Asking
from langchain_voxtral.transcription.source import Given
from langchain_voxtral.transcription.store import (
    ChunkResult,
    ChunkTranscript,
    key_of,
    read_cuts,
    read_transcript,
    write_cuts,
    write_transcript,
)

__all__ = ["Job", "check_cost"]


@dataclass
class Job:
    """One recording on its way.

    Its steps are `identify`, `plan`, `recall`, `check_cost`, then `pieces`; between them the caller
    reads and writes the store, since that may be asynchronous.

    Args:
        recording: The recording.
        windows: How large a piece may be.
        asking: How its pieces are asked about.
        base_url: The server's address.
        price_per_minute: US dollars; None if not known.
        cuts: Where it is cut, once that is planned.
        recalled: What earlier runs have heard.
        given_up: To be set when planning is to end early, with whatever result.
        outdated: Set when the cuts turn out to be those of other sound.
    """

    recording: Given
    windows: Windows
    asking: Asking
    base_url: str
    price_per_minute: float | None
    cuts: Cuts = field(default_factory=lambda: Cuts(()))
    recalled: dict[int, ChunkResult] = field(default_factory=dict)
    given_up: bool = False
    outdated: bool = False
    _state: Hashable = None

    @cached_property
    def sha256(self) -> str:
        """The hash of the recording's content."""
        return self.recording.sha256()

    @cached_property
    def cuts_key(self) -> str:
        """The store's key of the cuts."""
        windows = self.windows
        return key_of(
            sha256=self.sha256,
            longest=windows.longest,
            most_bytes=windows.most_bytes,
            target=windows.target,
            takes=sorted(windows.takes),
            truncated=windows.truncated,
        )

    @cached_property
    def keys(self) -> list[str]:
        """The store's keys of the pieces: hashes of the sound, the settings and the server."""
        facts = self.asking.facts()
        return [
            key_of(
                cuts=self.cuts_key,
                start=span.start,
                end=span.end,
                base_url=self.base_url,
                asking=facts,
            )
            for span in self.cuts.spans
        ]

    def identify(self) -> None:
        """Compute the hash of the content: on an event loop, in a thread."""
        self._state = self.recording.state()
        _ = self.sha256

    def facts(self) -> dict[str, Any]:
        """Return the metadata that all documents of this recording have."""
        source = {} if self.recording.name is None else {"source": self.recording.name}
        return {
            **self.recording.metadata,
            **source,
            "sha256": self.sha256,
            "duration": self.cuts.duration,
            "n_chunks": len(self.cuts.spans),
            "truncated": self.cuts.truncated or None,
        }

    def plan(self, kept: bytes | None = None) -> bytes | None:
        """Find out where to cut, from what the store has or else by decoding.

        Args:
            kept: The store's entry of `cuts_key`, if there is one.

        Returns:
            What to keep under that key, if it was not there.

        Raises:
            VoxtralAudioError: The recording cannot be decoded.
        """
        known = None if kept is None else read_cuts(self.cuts_key, kept)
        self.cuts = known or planned(self.recording, self.windows, lambda: self.given_up)
        return None if known else write_cuts(self.cuts_key, self.cuts)

    def recall(self, kept: Sequence[bytes | None]) -> None:
        """Take up what an earlier run has heard.

        Args:
            kept: The store's entries of `keys`.
        """
        for span, key, entry in zip(self.cuts.spans, self.keys, kept, strict=True):
            told = read_transcript(key, entry)
            if told is not None:
                self.recalled[span.index] = ChunkResult(span, told, from_store=True)

    @property
    def missing(self) -> list[Span]:
        """The pieces that are still to be heard."""
        return [span for span in self.cuts.spans if span.index not in self.recalled]

    def estimate(self) -> Estimate:
        """Return what the missing pieces will take."""
        return estimate_cost([span.seconds for span in self.missing], self.price_per_minute)

    def check_cost(self, most: float | None) -> None:
        """Return if what is missing costs no more than this.

        Raises:
            VoxtralInvalidRequestError: It costs more, or its price is not known.
        """
        if most is not None:
            check_cost(self.estimate(), most, self.recording.title)

    def pieces(self) -> Generator[Piece]:
        """Yield the missing pieces with their sound."""
        missing = {span.index for span in self.missing}
        if not missing:
            return
        whole = self.cuts.whole
        if whole is not None:
            self.cuts = replace(self.cuts, whole=None)  # so that it is freed when it is sent
        made = cut(self.recording, self.windows) if whole is None else iter([whole])
        del whole
        for piece in made:
            index = piece.span.index
            if index in missing:
                if self.recording.state() != self._state or self.cuts.spans[index] != piece.span:
                    break
                missing.remove(index)
                yield piece
            if not missing:
                return
        self.outdated = True
        raise VoxtralAudioError(
            f"{self.recording.title} changed while it was transcribed, or the store's places of "
            "its cuts are of another version. Begin again."
        )

    def entry(self, span: Span, told: ChunkTranscript) -> tuple[str, bytes]:
        """Return what the store is to keep of a piece, and under which key."""
        key = self.keys[span.index]
        return key, write_transcript(key, told)

    def name(self, span: Span) -> str:
        """Return what messages call a piece."""
        if len(self.cuts.spans) == 1:
            return self.recording.title
        return (
            f"{self.recording.title}, chunk {span.index + 1} of {len(self.cuts.spans)} "
            f"({span.start:.1f} s to {span.end:.1f} s)"
        )

    def progress(self, done: int) -> Progress:
        """Return how far it has come when so many pieces are through."""
        return Progress(
            source=self.recording.title,
            done=done,
            total=len(self.cuts.spans),
            seconds=self.cuts.spans[done - 1].end if done else 0.0,
            duration=self.cuts.duration,
        )


def check_cost(estimate: Estimate, most: float, what: str) -> None:
    """Return if an estimate is within a budget.

    Args:
        estimate: What it will take.
        most: US dollars.
        what: What it is for, for the error.

    Raises:
        VoxtralInvalidRequestError: It is above, or its price is not known.
    """
    if estimate.dollars is None:
        raise VoxtralInvalidRequestError(
            f"{what}: max_cost_usd={most:g} cannot be checked, because the price of this model at "
            "this server is not known: give price_per_minute=, in US dollars."
        )
    if estimate.dollars > most:
        raise VoxtralInvalidRequestError(
            f"{what}: transcribing {estimate.duration:.1f} s would cost about "
            f"${estimate.dollars:.6f}, more than max_cost_usd={most:g}. Nothing was sent. Raise "
            "max_cost_usd=, or send less."
        )
