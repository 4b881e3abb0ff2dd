"""A plain HTTP client of the embedded server, and its transcript of a short recording."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.local_speech import ask, json_body

from langchain_voxtral.local import LocalVoxtral


@pytest.fixture(scope="session")
def http(local_server: LocalVoxtral) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {local_server.api_key}"}
    with httpx.Client(
        base_url=local_server.base_url, headers=headers, timeout=60, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="session")
def verbose_transcript(http: httpx.Client) -> dict[str, Any]:
    """The transcript of three seconds of speech as `verbose_json`."""
    return json_body(ask(http, response_format="verbose_json"))
