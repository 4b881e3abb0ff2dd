"""What a transcription will take, before anything is asked."""

from collections.abc import Iterable
from dataclasses import dataclass

from langchain_voxtral.audio.pricing import audio_tokens, cost_usd

__all__ = ["Estimate", "estimate_of"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a transcription will take.

    Args:
        duration: Seconds of audio that are sent.
        chunks: Requests, if none fails.
        tokens: Tokens of the model's context that the audio takes, over all requests.
        dollars: US dollars; None if the price is not known.

    Example:
        ```python
        from langchain_voxtral.audio.estimates import Estimate

        hours = Estimate(3600, 6, 45_006, 0.06) + Estimate(3600, 6, 45_006, 0.06)
        assert (hours.chunks, hours.dollars) == (12, 0.12)
        ```
    """

    duration: float
    chunks: int
    tokens: int
    dollars: float | None

    def __add__(self, other: "Estimate") -> "Estimate":
        prices = (self.dollars, other.dollars)
        return Estimate(
            self.duration + other.duration,
            self.chunks + other.chunks,
            self.tokens + other.tokens,
            None if None in prices else sum(price for price in prices if price is not None),
        )


def estimate_of(lengths: Iterable[float], price_per_minute: float | None) -> Estimate:
    """Return what pieces of a recording will take.

    Args:
        lengths: How long they are, in seconds.
        price_per_minute: US dollars for a minute of audio, None if it is not known.

    Example:
        ```python
        from langchain_voxtral.audio.estimates import Estimate, estimate_of

        assert estimate_of([60.0], 0.001) == Estimate(60.0, 1, 751, 0.001)
        ```
    """
    lengths = [*lengths]
    seconds = sum(lengths)
    return Estimate(
        duration=seconds,
        chunks=len(lengths),
        tokens=sum(map(audio_tokens, lengths)),
        dollars=_price(seconds, price_per_minute),
    )


def _price(seconds: float, price_per_minute: float | None) -> float | None:
    if not seconds:
        return 0.0  # whatever the price is
    return None if price_per_minute is None else cost_usd(seconds, price_per_minute)
