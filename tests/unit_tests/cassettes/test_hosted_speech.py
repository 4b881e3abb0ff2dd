"""Speech as DeepInfra heard it, if somebody with a key has recorded it.

What its model hears is its own: the shape of an answer is checked, and that all of it is read.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from support.cassettes.replay import CASSETTES, replay
from support.cassettes.scenes import aplay, play

from langchain_voxtral.endpoint import DEEPINFRA_URL
from langchain_voxtral.errors import VoxtralError, VoxtralUnsupportedFeatureError

pytest.importorskip("support.speech_samples", reason="the floor has no libraries of sound")
from support.cassettes.speech_scenes import CHATS, HEARINGS, ahear, hear

RECORDED = sorted((CASSETTES / "hosted").glob("speech*.yaml"))

if not RECORDED:
    pytest.skip(
        "There are no recordings from DeepInfra; `make record` makes them when a key is set.",
        allow_module_level=True,
    )

Said = AIMessage | list[Document]


def _said(name: str) -> Said:
    if name in CHATS:
        return play(CHATS[name].model(DEEPINFRA_URL, "made-up-key"), CHATS[name])
    return hear(HEARINGS[name], DEEPINFRA_URL, "made-up-key")


async def _asaid(name: str) -> Said:
    if name in CHATS:
        return await aplay(CHATS[name].model(DEEPINFRA_URL, "made-up-key"), CHATS[name])
    return await ahear(HEARINGS[name], DEEPINFRA_URL, "made-up-key")


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
@pytest.mark.parametrize("said", [_said, lambda name: asyncio.run(_asaid(name))], ids=["", "async"])
def test_hosted_speech_is_read(path: Path, said: Callable[[str], Said]) -> None:
    name = path.stem
    try:
        with replay(path):
            answer: Said | VoxtralError = said(name)
    except VoxtralError as error:
        answer = error
    _check(name, answer)


def _check(name: str, said: Said | VoxtralError) -> None:
    scene = (HEARINGS | CHATS)[name]
    if isinstance(said, VoxtralUnsupportedFeatureError):
        assert name in CHATS or scene.settings["endpoint"] == "chat"  # no chats there
    elif isinstance(said, VoxtralError):
        assert type(said) is scene.error
    elif isinstance(said, AIMessage):
        assert said.text
        assert said.usage_metadata is not None
    else:
        assert scene.error is None
        words = " ".join(document.page_content for document in said)
        assert name == "speech_silence" or "ever" in words.lower()
        assert all(document.metadata["cost"] >= 0 for document in said)
        assert all(document.metadata["model"] for document in said)
