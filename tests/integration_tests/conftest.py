"""The embedded engine, started once for all integration tests."""

from collections.abc import Iterator

import pytest

from langchain_voxtral.local import LocalVoxtral


@pytest.fixture(scope="session")
def local_server() -> Iterator[LocalVoxtral]:
    """A running server on the real model; its weights are fetched if they are not there."""
    with LocalVoxtral() as server:
        yield server
