"""The lines about requests in the log, and what may stand in none of them."""

import logging
import re
from typing import Any

import pytest
from support.documented_exchanges import KEY, MODEL, TOKENS

NOTHING_KNOWN: dict[str, Any] = {
    "method": "POST",
    "endpoint": "native",
    "model": MODEL,
    "provider": "deepinfra",
    "outcome": "completed",
    "status": 200,
    "attempts": 1,
    "resumes": 0,
    "input_tokens": None,
    "output_tokens": None,
    "audio_seconds": None,
    "cost_usd": None,
    "duration_ms": "time",
    "first_token_ms": None,
    "request_id": None,
    "error": None,
}


class Log:
    """What the package wrote to its logger."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def records(self) -> list[logging.LogRecord]:
        """The lines about requests."""
        return [one for one in self._caplog.records if hasattr(one, "voxtral_endpoint")]

    @property
    def fields(self) -> list[dict[str, Any]]:
        """Their fields, without prefix; times are replaced by a word."""
        return [
            {
                name.removeprefix("voxtral_"): _without_time(name, value)
                for name, value in vars(record).items()
                if name.startswith("voxtral_")
            }
            for record in self.records
        ]

    @property
    def lines(self) -> list[str]:
        """The lines as they are printed; times are replaced by a word."""
        return [re.sub(r"_ms=[\d.]+", "_ms=TIME", one.getMessage()) for one in self.records]

    @property
    def everything(self) -> str:
        """All that any handler could show of them, errors included."""
        return "\n".join(f"{one.getMessage()} {vars(one)}" for one in self._caplog.records)


def _without_time(name: str, value: object) -> object:
    if not name.endswith("_ms") or value is None:
        return value
    assert isinstance(value, float)
    return "time"


def spoken_words(log: Log) -> list[str]:
    """Return what was asked, said, named or sent as a secret, and shows in the log."""
    words = [KEY, "secret", "Hello", "nice to meet", "holiday", "Dear", *TOKENS[:1]]
    return [word for word in words if word in log.everything]
