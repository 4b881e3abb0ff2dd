"""Questions about recordings, answered by the embedded engine."""

import asyncio
import re

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import BaseModel
from support.speech_samples import JFK, encoded

from langchain_voxtral import ChatVoxtral, audio_block
from langchain_voxtral.errors import VoxtralInvalidRequestError

QUESTION = "Repeat what the recording says."


@pytest.fixture
def chat() -> ChatVoxtral:
    return ChatVoxtral(base_url="local", temperature=0, max_tokens=40)


def test_a_question_about_a_recording(chat: ChatVoxtral) -> None:
    answer = chat.invoke([HumanMessage([audio_block(JFK), QUESTION])])
    assert "americans" in answer.text.lower()
    assert answer.response_metadata["model_provider"] == "voxtral-local"
    assert answer.response_metadata["model_name"] == "SmolLM2-135M-Instruct"


@pytest.mark.parametrize("encoding", ["mp3", "webm"])
def test_a_recording_in_any_format_is_transcribed(chat: ChatVoxtral, encoding: str) -> None:
    answer = chat.invoke([HumanMessage([audio_block(encoded(encoding)), QUESTION])])
    assert re.search("ask|country", answer.text.lower())  # words of the recording


def test_a_stream_of_events_and_system_text(chat: ChatVoxtral) -> None:
    messages = [SystemMessage("You listen."), HumanMessage([audio_block(JFK), QUESTION])]

    async def streamed() -> str:
        async with chat:
            return "".join([chunk.text async for chunk in chat.astream(messages)])

    assert asyncio.run(streamed()) == chat.invoke(messages).text


def test_a_conversation_continues_after_a_recording(chat: ChatVoxtral) -> None:
    asked = HumanMessage([audio_block(JFK), QUESTION])
    answer = chat.invoke([asked])
    assert isinstance(answer, AIMessage)
    assert chat.invoke([asked, answer, HumanMessage("Thank you. Say hello.")]).text


def test_structured_output_of_a_recording(chat: ChatVoxtral) -> None:
    class Quotation(BaseModel):
        """A quotation."""

        is_speech: bool

    quotation = chat.with_structured_output(Quotation).invoke(
        [HumanMessage([audio_block(JFK), "Is there speech in it?"])]
    )
    assert isinstance(quotation, Quotation)


def test_the_profile_says_that_audio_is_supported(chat: ChatVoxtral) -> None:
    assert chat.profile is not None
    assert chat.profile["audio_inputs"] is True


def test_the_native_endpoint_takes_no_audio() -> None:
    chat = ChatVoxtral(base_url="local", api="native")
    with pytest.raises(VoxtralInvalidRequestError, match="carries no audio"):
        chat.invoke([HumanMessage([audio_block(JFK)])])
