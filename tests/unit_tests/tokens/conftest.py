"""Fixtures of the tests of tokens."""

import pytest
from support.mistral_oracle import MistralOracle


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> MistralOracle:
    return MistralOracle(tmp_path_factory.mktemp("tekken"))
