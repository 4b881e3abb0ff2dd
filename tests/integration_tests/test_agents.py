"""Agents on the embedded engine: a real model calls tools and answers from their results.

Which tool is called is decided by the engine's stated rule, the arguments by the model.
"""

from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import BaseModel, Field
from support.speech_samples import speech, wav_bytes

from langchain_voxtral import ChatVoxtral, audio_block

pytest.importorskip("langchain", reason="agents are of langchain, which the floor has not")
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy

DIALECTS: dict[str, dict[str, Any]] = {
    "llama3": {"prompt_format": "llama3"},
    "mistral": {"prompt_format": "mistral"},
    "chat completions": {"api": "chat_completions"},
}
QUESTION = {"messages": [("user", "How is the weather in Oslo, and what is 17 + 25?")]}
CONFIG: Any = {"recursion_limit": 12}


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Report(BaseModel):
    """The answer to the user."""

    city: str = Field(description="Name of the city")
    sunny: bool


@pytest.fixture(params=list(DIALECTS))
def chat(request: pytest.FixtureRequest) -> ChatVoxtral:
    return ChatVoxtral(base_url="local", temperature=0, max_tokens=60, **DIALECTS[request.param])


def called(messages: list[BaseMessage]) -> list[tuple[str, dict[str, Any]]]:
    """Return the calls in order."""
    return [
        (call["name"], call["args"])
        for message in messages
        if isinstance(message, AIMessage)
        for call in message.tool_calls
    ]


def results_of(messages: list[BaseMessage]) -> list[str]:
    """Return the results of the tools in order."""
    return [message.text for message in messages if message.type == "tool"]


CALLS = [("get_weather", {"city": "Oslo"}), ("add", {"a": 17, "b": 25})]
RESULTS = ["It is sunny in Oslo.", "42"]


async def test_an_agent_calls_both_tools_and_answers_from_their_results(chat: ChatVoxtral) -> None:
    agent: Any = create_agent(chat, tools=[get_weather, add])

    messages = (await agent.ainvoke(QUESTION, CONFIG))["messages"]

    assert called(messages) == CALLS
    assert results_of(messages) == RESULTS
    answer = messages[-1]
    assert (answer.type, answer.tool_calls, answer.invalid_tool_calls) == ("ai", [], [])
    assert "Oslo" in answer.text
    assert "42" in answer.text
    usages = [message.usage_metadata for message in messages if message.type == "ai"]
    assert len(usages) == 3
    assert all(usage["output_tokens"] > 0 for usage in usages)


@pytest.mark.parametrize("chat", ["llama3", "chat completions"], indirect=True)
def test_an_agent_streams_its_steps_and_the_tokens_of_its_answer(chat: ChatVoxtral) -> None:
    agent: Any = create_agent(chat, tools=[get_weather, add])
    messages: list[BaseMessage] = []
    chunks: list[Any] = []
    for mode, part in agent.stream(QUESTION, CONFIG, stream_mode=["messages", "updates"]):
        if mode == "updates":
            messages += [one for update in part.values() for one in update["messages"]]
        elif part[1]["langgraph_node"] == "model":
            chunks.append(part[0])

    assert called(messages) == CALLS
    assert results_of(messages) == RESULTS
    texts = [chunk.text for chunk in chunks if chunk.text]
    assert "".join(texts) == messages[-1].text
    assert len(texts) > 1
    assert len([chunk for chunk in chunks if chunk.usage_metadata]) == 3


def test_an_agent_with_a_response_format_calls_its_tool_and_ends_with_the_format(
    chat: ChatVoxtral,
) -> None:
    agent: Any = create_agent(chat, tools=[get_weather], response_format=ToolStrategy(Report))

    state = agent.invoke({"messages": [("user", "How is the weather in Paris?")]}, CONFIG)

    assert state["structured_response"] == Report(city="Paris", sunny=True)
    assert called(state["messages"]) == [
        ("get_weather", {"city": "Paris"}),
        ("Report", {"city": "Paris", "sunny": True}),
    ]


def test_a_question_that_needs_no_tool_is_answered_at_once(chat: ChatVoxtral) -> None:
    agent: Any = create_agent(chat, tools=[get_weather, add])

    messages = agent.invoke({"messages": [("user", "What is the capital of France?")]})["messages"]

    assert called(messages) == []
    assert "Paris" in messages[-1].text


def test_an_agent_answers_from_a_recording_that_its_tool_returns() -> None:
    def open_recording(name: Literal["talk.wav"]) -> list[dict[str, Any]]:
        """Open a recording."""
        return [audio_block(wav_bytes(speech()[:48_000]))]

    chat = ChatVoxtral(base_url="local", temperature=0, max_tokens=30)
    asked: Any = {"messages": [("user", "Open the recording talk.wav and repeat it.")]}
    messages = create_agent(chat, [open_recording]).invoke(asked, CONFIG)["messages"]
    assert called(messages) == [("open_recording", {"name": "talk.wav"})]
    assert "americans" in messages[-1].text.lower()  # words of the recording
