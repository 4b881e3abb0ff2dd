"""A bare HTTP client of the embedded server."""

from collections.abc import Iterator

import httpx
import pytest

from langchain_voxtral.local import LocalVoxtral


@pytest.fixture(scope="session")
def http(local_server: LocalVoxtral) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {local_server.api_key}"}
    with httpx.Client(
        base_url=local_server.base_url, headers=headers, timeout=60, trust_env=False
    ) as client:
        yield client
