"""Exchanges that were recorded from DeepInfra, if there are any.

What its models say is theirs: the shape of an answer is checked, and that all of it is read.
"""

from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from support.cassettes.replay import CASSETTES, replay
from support.cassettes.scenarios import SCENARIOS, aplay, play

from langchain_voxtral.errors import VoxtralError, VoxtralUnsupportedFeatureError
from langchain_voxtral.providers import DEEPINFRA_URL

RECORDED = [
    path for path in sorted((CASSETTES / "hosted").glob("*.yaml")) if path.stem in SCENARIOS
]

if not RECORDED:
    pytest.skip(
        "There are no recordings from DeepInfra; `make record` makes them when a key is set.",
        allow_module_level=True,
    )


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_hosted_exchanges_are_read(path: Path) -> None:
    scenario = SCENARIOS[path.stem]
    with replay(path):
        try:
            result: AIMessage | VoxtralError = play(
                scenario.model(DEEPINFRA_URL, "made-up-key"), scenario
            )
        except VoxtralError as error:
            result = error
    _check(path.stem, result)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
async def test_hosted_exchanges_are_read_asynchronously(path: Path) -> None:
    scenario = SCENARIOS[path.stem]
    with replay(path):
        try:
            result: AIMessage | VoxtralError = await aplay(
                scenario.model(DEEPINFRA_URL, "made-up-key"), scenario
            )
        except VoxtralError as error:
            result = error
    _check(path.stem, result)


def _check(name: str, result: AIMessage | VoxtralError) -> None:
    if isinstance(result, VoxtralUnsupportedFeatureError):
        assert "speech only" in result.message  # a deployment that rejects text
    elif isinstance(result, VoxtralError):
        assert type(result) is SCENARIOS[name].error
    else:
        assert SCENARIOS[name].error is None
        assert result.text
        assert result.usage_metadata is not None
        assert result.response_metadata.get("request_id") or SCENARIOS[name].streamed
