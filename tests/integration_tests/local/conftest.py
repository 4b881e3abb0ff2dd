"""A bare HTTP client of the embedded server, and what it hears of a short recording."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.local_speech import ask, told

from langchain_voxtral.local import LocalVoxtral


@pytest.fixture(scope="session")
def http(local_server: LocalVoxtral) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {local_server.api_key}"}
    with httpx.Client(
        base_url=local_server.base_url, headers=headers, timeout=60, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="session")
def heard_once(http: httpx.Client) -> dict[str, Any]:
    """Three seconds of speech, told as `verbose_json`."""
    return told(ask(http, response_format="verbose_json"))
