"""The transports that calls can go through: httpx's own, and those of the extra `fast`."""

import pytest

TRANSPORTS = {"httpx": "httpx", "auto": "fast"}
"""Values of the environment variable, and their names in tests."""

on_each_transport = pytest.mark.parametrize(
    "_transport", TRANSPORTS, ids=TRANSPORTS.get, indirect=True
)
"""Runs a synchronous test on each; asynchronous ones are anyway."""
