"""Fixtures of the tests of transcription."""

import pytest
from support.run_log import RunLog


@pytest.fixture
def log() -> RunLog:
    return RunLog()
