"""Headers: how long to wait before a retry."""

from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.protocol.error_responses import header, parse_retry_after

NOON = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"Retry-After": " 0.5 "}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Mon, 04 May 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 04 May 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "Mon, 04 May 2026 14:01:00 +0200"}, 60.0),
        ({"retry-after": "Mon, 04 May 2026 11:59:59 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "1_0"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "Mon, 04 May 99999999999 12:00:30 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, NOON) == seconds


def test_a_date_counts_from_the_given_time_in_any_zone() -> None:
    now = NOON.astimezone(timezone(timedelta(hours=-5)))
    assert parse_retry_after({"retry-after": "Mon, 04 May 2026 12:00:30 GMT"}, now) == 30.0


def test_a_date_counts_from_the_present_by_default() -> None:
    wait = parse_retry_after({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"})
    assert wait is not None
    assert wait > 0


def test_headers_of_a_client_are_read_in_any_letter_case() -> None:
    headers = httpx.Headers({"Retry-After": "3", "X-Request-Id": "R1"})
    assert parse_retry_after(headers) == 3.0
    assert header(headers, "x-request-id") == "R1"
    assert header(headers, "x-other") is None


@given(st.text())
def test_any_header_value_gives_a_wait_or_none(value: str) -> None:
    wait = parse_retry_after({"retry-after": value, "retry-after-ms": value}, NOON)
    assert wait is None or wait >= 0
