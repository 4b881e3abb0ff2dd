"""What a recording costs: tokens of the model's context, and money."""

import math

from langchain_voxtral.errors import VoxtralInvalidRequestError

__all__ = ["BLOCK_SECONDS", "PRICE_PER_MINUTE", "audio_tokens", "cost_usd"]

BLOCK_SECONDS = 30
"""The encoder takes sound in blocks of this length; the last one is padded."""

PRICE_PER_MINUTE = 0.001
"""US dollars for a minute of input audio, as DeepInfra lists Voxtral-Mini-3B-2507."""

_TOKENS_PER_BLOCK = 375  # 12.5 a second
_TOKENS_PER_CLIP = 1  # [BEGIN_AUDIO]


def audio_tokens(seconds: float) -> int:
    """Return how many tokens of the prompt one recording takes.

    The model makes 12.5 tokens of a second and pads to blocks of 30 seconds (mistral-common,
    `AudioConfig`); one more token begins the recording.

    Args:
        seconds: The recording's length.

    Raises:
        VoxtralInvalidRequestError: The length is negative or no number.

    Example:
        ```python
        from langchain_voxtral.audio.pricing import audio_tokens

        assert audio_tokens(7) == 376
        assert audio_tokens(30.1) == 751
        ```
    """
    exact = round(_length(seconds), 6)  # a difference of two times may be 30.000000000000004 s
    return _TOKENS_PER_CLIP + _TOKENS_PER_BLOCK * math.ceil(exact / BLOCK_SECONDS)


def cost_usd(seconds: float, price_per_minute: float = PRICE_PER_MINUTE) -> float:
    """Return the price of a recording in US dollars, unrounded.

    Args:
        seconds: The recording's length; it is priced by the second, not by the block.
        price_per_minute: US dollars for a minute.

    Raises:
        VoxtralInvalidRequestError: The length is negative or no number.

    Example:
        ```python
        from langchain_voxtral.audio.pricing import cost_usd

        assert cost_usd(600) == 0.01
        ```
    """
    return _length(seconds) * price_per_minute / 60


def _length(seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise VoxtralInvalidRequestError(
            f"A recording's length must be a number of seconds, 0 or more, not {seconds!r}."
        )
    return seconds
