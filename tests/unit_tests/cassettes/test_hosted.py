"""Exchanges recorded from DeepInfra, if somebody with a key has recorded them.

What its models say is theirs: the shape of an answer is checked, and that all of it is read.
"""

from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from support.cassettes.replay import CASSETTES, replay
from support.cassettes.scenes import SCENES, aplay, play

from langchain_voxtral.endpoint import DEEPINFRA_URL
from langchain_voxtral.errors import VoxtralError, VoxtralUnsupportedFeatureError

RECORDED = [path for path in sorted((CASSETTES / "hosted").glob("*.yaml")) if path.stem in SCENES]

if not RECORDED:
    pytest.skip(
        "There are no recordings from DeepInfra; `make record` makes them when a key is set.",
        allow_module_level=True,
    )


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_hosted_exchanges_are_read(path: Path) -> None:
    scene = SCENES[path.stem]
    with replay(path):
        try:
            said: AIMessage | VoxtralError = play(scene.model(DEEPINFRA_URL, "made-up-key"), scene)
        except VoxtralError as error:
            said = error
    _check(path.stem, said)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
async def test_hosted_exchanges_are_read_asynchronously(path: Path) -> None:
    scene = SCENES[path.stem]
    with replay(path):
        try:
            said: AIMessage | VoxtralError = await aplay(
                scene.model(DEEPINFRA_URL, "made-up-key"), scene
            )
        except VoxtralError as error:
            said = error
    _check(path.stem, said)


def _check(name: str, said: AIMessage | VoxtralError) -> None:
    if isinstance(said, VoxtralUnsupportedFeatureError):
        assert "speech only" in said.message  # a deployment that refuses text
    elif isinstance(said, VoxtralError):
        assert type(said) is SCENES[name].error
    else:
        assert SCENES[name].error is None
        assert said.text
        assert said.usage_metadata is not None
        assert said.response_metadata.get("request_id") or SCENES[name].streamed
