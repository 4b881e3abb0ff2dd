"""Tokens and cost of a recording."""

import math
from functools import partial

import pytest

from langchain_voxtral.audio.pricing import audio_tokens, cost_usd
from langchain_voxtral.errors import VoxtralInvalidRequestError


@pytest.mark.parametrize(
    ("seconds", "tokens"),
    [
        (0, 1),
        (0.1, 376),
        (7, 376),
        (30, 376),
        (32.0001875 - 2.0001875, 376),
        (30 + 1 / 16_000, 751),
        (30.1, 751),
        (61, 1126),
        (1800, 22_501),
        (2400, 30_001),
    ],
)
def test_every_started_30_seconds_take_375_tokens(seconds: float, tokens: int) -> None:
    assert audio_tokens(seconds) == tokens


@pytest.mark.parametrize(
    ("seconds", "price"), [(0, 0), (1, 0.001 / 60), (30, 0.0005), (600, 0.01), (3600, 0.06)]
)
def test_money_is_by_the_second(seconds: float, price: float) -> None:
    assert cost_usd(seconds, 0.001) == pytest.approx(price, rel=1e-12)


def test_another_price_can_be_given() -> None:
    assert cost_usd(60, price_per_minute=0.003) == 0.003


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_an_invalid_length_is_refused(seconds: float) -> None:
    for ask in (audio_tokens, partial(cost_usd, price_per_minute=0.001)):
        with pytest.raises(VoxtralInvalidRequestError, match="must be a number of seconds"):
            ask(seconds)
