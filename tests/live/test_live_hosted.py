"""Mistral's API and OpenRouter: a few seconds of audio each, if their keys are set.

What their documents leave open is printed with `-rP`: usage, times, the prefill of an answer.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_voxtral import ChatVoxtral, VoxtralTranscriptionParser, audio_block
from langchain_voxtral.providers import PROVIDERS

pytestmark = pytest.mark.live

RECORDING = Path(__file__).parent.parent / "speech" / "jfk.flac"
TRANSCRIPTIONS: dict[str, list[dict[str, Any]]] = {
    "mistral": [
        {},
        {"mode": "segment", "speakers": True},
        {"mode": "word"},
        {"language": "en"},
        {"model_kwargs": {"context_bias": ["Americans"]}},
    ],
    "openrouter": [{}, {"language": "en"}],
}


@pytest.fixture(params=TRANSCRIPTIONS)
def name(request: pytest.FixtureRequest) -> Any:
    variables = PROVIDERS[request.param].key_variables
    if not any(os.environ.get(variable, "").strip() for variable in variables):
        pytest.skip(f"This needs a key in {' or '.join(variables)}.")
    return request.param


def test_transcriptions(name: Any) -> None:
    for settings in TRANSCRIPTIONS[name]:
        parser = VoxtralTranscriptionParser(server=name, max_cost_usd=0.01, **settings)
        documents = parser.parse(RECORDING)
        print(settings, documents)  # noqa: T201 - what a live server tells is news
        assert "country" in " ".join(one.page_content for one in documents)


def test_a_chat_with_a_recording(name: Any) -> None:
    chat = ChatVoxtral(server=name, max_tokens=60)
    asked = HumanMessage([audio_block(RECORDING), "Repeat the last word that is said."])
    streamed = list(chat.stream([asked]))
    print(chat.invoke([asked]), streamed)  # noqa: T201
    assert "country" in "".join(chunk.text for chunk in streamed).lower()


def test_a_prefill_is_continued(name: Any) -> None:
    chat = ChatVoxtral(server=name, max_tokens=20)
    messages = [HumanMessage("What is the capital of France?"), AIMessage("The capital is")]
    answer = chat.invoke(messages)
    print(answer)  # noqa: T201
    assert "Paris" in answer.text
    assert "The capital" not in answer.text
