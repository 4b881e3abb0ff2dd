"""Answers of DeepInfra at given prices, and what the documented ones use."""

import json
from collections.abc import Callable
from typing import Any

import httpx
from support.documented_exchanges import (
    HELLO_ANSWER,
    STREAM,
    answering,
    streaming,
)

from langchain_voxtral.usage.sums import VoxtralUsage

WHOLE = VoxtralUsage(requests=1, input_tokens=12, output_tokens=25, cost_usd=0.0000436)
STREAMED = VoxtralUsage(requests=1, input_tokens=12, output_tokens=25, cost_usd=0.0000386)
UNKNOWN = VoxtralUsage(requests=1, requests_without_usage=1, requests_without_cost=1)


def used(call_mode: str) -> VoxtralUsage:
    """What the documented answer uses."""
    return STREAMED if "stream" in call_mode else WHOLE


def final_event(cost: float | None) -> bytes:
    event = {
        "token": {"id": None, "text": "", "logprob": 0.0, "special": False},
        "details": {"finish_reason": "stop"},
        "num_output_tokens": 25,
        "num_input_tokens": 12,
        "estimated_cost": cost,
    }
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def costing(*costs: float | None, text: str = "Hello!") -> Callable[[httpx.Request], Any]:
    """Answer at these prices, whole or streamed; the last one stays."""
    left = list(costs)

    def answer(request: httpx.Request) -> httpx.Response:
        cost = left.pop(0) if len(left) > 1 else left[0]
        if json.loads(request.content).get("stream"):
            return streaming(*STREAM[:-1], final_event(cost))
        status = {"status": "succeeded", "tokens_input": 12, "tokens_generated": 25, "cost": cost}
        if cost is None:
            del status["cost"]
        results = [{"generated_text": text}]
        return answering(HELLO_ANSWER | {"inference_status": status, "results": results})

    return answer
