"""What a request costs: as the server tells, or by the length of its audio."""

from typing import Literal

from langchain_voxtral.audio.pricing import cost_usd
from langchain_voxtral.protocol.responses import Usage

CostSource = Literal["server", "estimated"]


def billed_seconds(usage: Usage, chunk_seconds: float) -> float:
    """Return the seconds that the server counts, or else the chunk's length."""
    return usage.audio_seconds or chunk_seconds  # 0: it does not count them


def cost_of(
    usage: Usage, chunk_seconds: float, price_per_minute: float | None
) -> tuple[float, CostSource] | None:
    """Return US dollars and how they are known; None if they are not."""
    if usage.cost is not None:
        return usage.cost, "server"
    if price_per_minute is None:
        return None
    return cost_usd(billed_seconds(usage, chunk_seconds), price_per_minute), "estimated"
