"""Response headers: read in any letter case, from a plain mapping or a client's own type."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Return the value of the header `name` (lower case), or None."""
    return next((value for key, value in headers.items() if key.lower() == name), None)


def parse_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return how many seconds the server asks to wait, or None if it does not say.

    Reads `retry-after-ms` (OpenAI's), then `Retry-After` in seconds or as an HTTP date (RFC 9110,
    section 10.2.3). What is negative, past or unreadable counts as not said.

    Args:
        headers: HTTP headers.
        now: The time to count a date from, with its zone; by default the present.
    """
    milliseconds = _number(header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = header(headers, "retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        date = parsedate_to_datetime(value)
        # A date without a zone ("-0000") is in UTC, as every HTTP date is.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        wait = (date - (now or datetime.now(UTC))).total_seconds()
    except (ValueError, OverflowError):
        return None
    return wait if wait >= 0 else None


def _number(value: str | None) -> float | None:
    """Return a finite number that is not negative, written as HTTP writes them."""
    if value is None or not re.fullmatch(r"\s*\d+(?:\.\d*)?\s*", value, re.ASCII):
        return None
    number = float(value)
    return number if math.isfinite(number) else None
