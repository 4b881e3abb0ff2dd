"""The embedded engine, started once for all integration tests."""

from collections.abc import Iterator

import pytest

from langchain_voxtral.local import LocalVoxtral


@pytest.fixture(scope="session")
def local_server() -> Iterator[LocalVoxtral]:
    """A running server with the real model; its weights are downloaded if needed."""
    with LocalVoxtral() as server:
        yield server


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect inherited tests that a test class does not name in `only`."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        only = getattr(getattr(item, "cls", None), "only", None)
        (kept if only is None or only.search(item.name) else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
