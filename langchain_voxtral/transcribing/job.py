"""One recording on its way to documents: all but the asking."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from langchain_voxtral.audio.errors import VoxtralAudioError
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.estimates import Estimate, estimate_of
from langchain_voxtral.transcribing.asking import Asking
from langchain_voxtral.transcribing.cuts import Cuts, Piece, Span, Windows, cut, planned
from langchain_voxtral.transcribing.heard import (
    Heard,
    key_of,
    read_cuts,
    read_transcript,
    write_cuts,
)
from langchain_voxtral.transcribing.progress import Progress
from langchain_voxtral.transcribing.sources import Given

__all__ = ["Job", "check_cost"]


@dataclass
class Job:
    """One recording on its way.

    Its steps are `plan`, `recall`, `check_cost`, then `pieces`; between them the caller reads and
    writes the store, since that may be asynchronous.

    Args:
        recording: The recording.
        windows: How large a piece may be.
        asking: How its pieces are asked about; changed when the server refuses to tell times.
        base_url: The server's address.
        price_per_minute: US dollars; None if not known.
    """

    recording: Given
    windows: Windows
    asking: Asking
    base_url: str
    price_per_minute: float | None
    cuts: Cuts = field(default_factory=lambda: Cuts(()))
    recalled: dict[int, Heard] = field(default_factory=dict)

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
        return [
            key_of(
                cuts=self.cuts_key,
                start=span.start,
                end=span.end,
                base_url=self.base_url,
                asking=self._facts,
            )
            for span in self.cuts.spans
        ]

    @cached_property
    def _facts(self) -> dict[str, Any]:
        # As asked for at first: an answer without times is the answer to a question for times.
        return self.asking.facts()

    def identify(self) -> None:
        """Compute the hash of the content: on an event loop, in a thread."""
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
        known = read_cuts(kept, self.cuts_key) if kept else None
        self.cuts = known or planned(self.recording, self.windows)
        return None if known else write_cuts(self.cuts)

    def recall(self, kept: Sequence[bytes | None]) -> None:
        """Take up what an earlier run has heard.

        Args:
            kept: The store's entries of `keys`.
        """
        for span, key, entry in zip(self.cuts.spans, self.keys, kept, strict=True):
            told = read_transcript(entry, key)
            if told is not None:
                self.recalled[span.index] = Heard(span, told, from_store=True)

    @property
    def missing(self) -> list[Span]:
        """The pieces that are still to be heard."""
        return [span for span in self.cuts.spans if span.index not in self.recalled]

    def estimate(self) -> Estimate:
        """Return what the missing pieces will take."""
        return estimate_of([span.seconds for span in self.missing], self.price_per_minute)

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
            self.cuts = Cuts(self.cuts.spans)  # so that it is freed when it is sent
        made = cut(self.recording, self.windows) if whole is None else iter([whole])
        del whole
        for piece in made:
            if piece.span.index in missing:
                if piece.span not in self.cuts.spans:
                    break
                missing.remove(piece.span.index)
                yield piece
        if missing:
            raise VoxtralAudioError(
                f"{self.recording.title} is cut at other places than before: it changed while it "
                "was transcribed, or the store is of another version. Begin again."
            )

    def key(self, span: Span) -> str:
        """Return the store's key of a piece."""
        return self.keys[span.index]

    def name(self, span: Span) -> str:
        """Return what messages call a piece."""
        if len(self.cuts.spans) == 1:
            return self.recording.title
        return (
            f"{self.recording.title}, chunk {span.index + 1} of {len(self.cuts.spans)} "
            f"({span.start:.1f} s to {span.end:.1f} s)"
        )

    def progress(self, span: Span) -> Progress:
        """Return how far it has come when a piece is through."""
        return Progress(
            source=self.recording.title,
            done=span.index + 1,
            total=len(self.cuts.spans),
            seconds=span.end,
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
