"""What recordings cost: tokens of the model's context, and money."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from langchain_voxtral.errors import VoxtralInvalidRequestError

BLOCK_SECONDS = 30
"""The encoder takes sound in blocks of this length; the last one is padded."""

_TOKENS_PER_BLOCK = 375  # 12.5 a second (mistral-common, AudioConfig)
_TOKENS_PER_RECORDING = 1  # [BEGIN_AUDIO]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a transcription will take; estimates can be added.

    Args:
        duration: Seconds of audio that are sent.
        chunks: Requests, if none fails.
        tokens: Tokens of the model's context that the audio takes, over all requests.
        dollars: US dollars; None if the price is not known.
    """

    duration: float
    chunks: int
    tokens: int
    dollars: float | None

    def __add__(self, other: "Estimate") -> "Estimate":
        is_priced = self.dollars is not None and other.dollars is not None
        return Estimate(
            self.duration + other.duration,
            self.chunks + other.chunks,
            self.tokens + other.tokens,
            (self.dollars or 0.0) + (other.dollars or 0.0) if is_priced else None,
        )


def estimate_cost(lengths: Iterable[float], price_per_minute: float | None) -> Estimate:
    """Return what chunks of these lengths, in seconds, will take."""
    lengths = [*lengths]
    seconds = sum(lengths)
    if not seconds:
        dollars: float | None = 0.0  # at any price
    elif price_per_minute is None:
        dollars = None
    else:
        dollars = cost_usd(seconds, price_per_minute)
    return Estimate(seconds, len(lengths), sum(map(audio_tokens, lengths)), dollars)


def check_cost(estimate: Estimate, limit: float, what: str) -> None:
    """Check that an estimate is within a budget.

    Raises:
        VoxtralInvalidRequestError: It is above, or its price is not known.
    """
    if estimate.dollars is None:
        raise VoxtralInvalidRequestError(
            f"{what}: max_cost_usd={limit:g} cannot be checked, because the price of this model at "
            "this server is not known (price_per_minute= tells it, in US dollars)."
        )
    if estimate.dollars > limit:
        raise VoxtralInvalidRequestError(
            f"{what}: transcribing {estimate.duration:.1f} s would cost about "
            f"${estimate.dollars:.6f}, more than max_cost_usd={limit:g}. Nothing was sent. Raise "
            "max_cost_usd=, or send less."
        )


def audio_tokens(seconds: float) -> int:
    """Return how many tokens of the prompt a recording takes."""
    exact = round(_checked(seconds), 6)  # a difference of two times may be 30.000000000000004 s
    return _TOKENS_PER_RECORDING + _TOKENS_PER_BLOCK * math.ceil(exact / BLOCK_SECONDS)


def cost_usd(seconds: float, price_per_minute: float) -> float:
    """Return the price of a recording, unrounded; it is priced by the second."""
    return _checked(seconds) * price_per_minute / 60


def _checked(seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise VoxtralInvalidRequestError(
            f"A recording's length must be a number of seconds, 0 or more, not {seconds!r}."
        )
    return seconds
