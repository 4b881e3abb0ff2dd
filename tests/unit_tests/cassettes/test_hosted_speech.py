"""Transcriptions that were recorded from DeepInfra, if there are any.

What its model writes is its own: the shape of an answer is checked, and that all of it is read.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from support.cassettes.replay import CASSETTES, replay
from support.cassettes.scenarios import aplay, play

from langchain_voxtral.errors import VoxtralError, VoxtralUnsupportedFeatureError
from langchain_voxtral.providers import DEEPINFRA_URL

pytest.importorskip("support.speech_samples", reason="the floor has no libraries of sound")
from support.cassettes.speech_scenarios import CHATS, TRANSCRIPTIONS, atranscribe, transcribe

RECORDED = sorted((CASSETTES / "hosted").glob("speech*.yaml"))

if not RECORDED:
    pytest.skip(
        "There are no recordings from DeepInfra; `make record` makes them when a key is set.",
        allow_module_level=True,
    )

Result = AIMessage | list[Document]


def _result(name: str) -> Result:
    if name in CHATS:
        return play(CHATS[name].model(DEEPINFRA_URL, "made-up-key"), CHATS[name])
    return transcribe(TRANSCRIPTIONS[name], DEEPINFRA_URL, "made-up-key")


async def _aresult(name: str) -> Result:
    if name in CHATS:
        return await aplay(CHATS[name].model(DEEPINFRA_URL, "made-up-key"), CHATS[name])
    return await atranscribe(TRANSCRIPTIONS[name], DEEPINFRA_URL, "made-up-key")


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "result", [_result, lambda name: asyncio.run(_aresult(name))], ids=["", "async"]
)
def test_hosted_speech_is_read(path: Path, result: Callable[[str], Result]) -> None:
    name = path.stem
    try:
        with replay(path):
            answer: Result | VoxtralError = result(name)
    except VoxtralError as error:
        answer = error
    _check(name, answer)


def _check(name: str, result: Result | VoxtralError) -> None:
    scenario = (TRANSCRIPTIONS | CHATS)[name]
    if isinstance(result, VoxtralUnsupportedFeatureError):
        assert name in CHATS or scenario.settings["endpoint"] == "chat"  # no chats there
    elif isinstance(result, VoxtralError):
        assert type(result) is scenario.error
    elif isinstance(result, AIMessage):
        assert result.text
        assert result.usage_metadata is not None
    else:
        assert scenario.error is None
        words = " ".join(document.page_content for document in result)
        assert name == "speech_silence" or "ever" in words.lower()
        assert all(document.metadata["cost"] >= 0 for document in result)
        assert all(document.metadata["model"] for document in result)
