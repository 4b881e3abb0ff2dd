"""The sum as a line of text."""

from dataclasses import fields

import pytest

from langchain_voxtral.usage.sums import VoxtralUsage, dollars


@pytest.mark.parametrize(
    ("usage", "line"),
    [
        (VoxtralUsage(), "0 requests, $0.00"),
        (
            VoxtralUsage(
                requests=3,
                retries=1,
                input_tokens=1234,
                output_tokens=56,
                audio_seconds=12.3,
                cost_usd=0.00123,
            ),
            "3 requests (1 retry), 1,234 input and 56 output tokens, 12.3 s of audio, $0.00123",
        ),
        (
            VoxtralUsage(requests=5, failed_requests=1, retries=2, resumes=1, cost_usd=1.5),
            "5 requests (1 failed, 2 retries, 1 resume), $1.50",
        ),
        (
            VoxtralUsage(requests=1, requests_without_usage=1, requests_without_cost=1),
            "1 request, usage of 1 request not known, cost of 1 request not known",
        ),
        (
            VoxtralUsage(requests=4, output_tokens=9, cost_usd=0.01, requests_without_cost=2),
            "4 requests, 0 input and 9 output tokens, $0.01, cost of 2 requests not known",
        ),
        (VoxtralUsage(cached_responses=2), "0 requests, 2 cached answers, $0.00"),
        (
            VoxtralUsage(requests=1, audio_seconds=60, cost_usd=0.003, estimated_cost_usd=0.003),
            "1 request, 60.0 s of audio, $0.003 (estimated)",
        ),
        (
            VoxtralUsage(requests=2, audio_seconds=60, cost_usd=0.004, estimated_cost_usd=0.003),
            "2 requests, 60.0 s of audio, $0.004 ($0.003 of it estimated)",
        ),
    ],
)
def test_the_line_says_what_is_known_and_what_is_not(usage: VoxtralUsage, line: str) -> None:
    assert str(usage) == line


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.0, "$0.00"),
        (0.1 + 0.2, "$0.30"),
        (0.025, "$0.025"),
        (0.0000436, "$0.0000436"),
        (0.00000000123456, "$0.00000000123"),
        (9.9995, "$9.9995"),
        (1234567.891, "$1,234,567.891"),
    ],
)
def test_small_amounts_keep_three_digits(amount: float, text: str) -> None:
    assert dollars(amount) == text


def test_sums_add_every_number() -> None:
    ones = VoxtralUsage(*(1 for _ in fields(VoxtralUsage)))
    assert ones + ones == VoxtralUsage(*(2 for _ in fields(VoxtralUsage)))


def test_the_repr_leaves_out_what_is_zero() -> None:
    usage = VoxtralUsage(requests=2, cost_usd=0.5)
    assert repr(usage) == "VoxtralUsage(requests=2, cost_usd=0.5)"


def test_total_tokens_are_those_of_prompts_and_answers() -> None:
    total = VoxtralUsage(input_tokens=7, output_tokens=2) + VoxtralUsage(output_tokens=1)

    assert total.total_tokens == 10
