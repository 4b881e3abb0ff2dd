"""The recorded calls of chat models and LLMs, used by the recorder and by the tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    message_chunk_to_message,
)
from langchain_core.outputs import ChatGeneration, LLMResult

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.errors import (
    VoxtralAuthenticationError,
    VoxtralContextOverflowError,
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralNotFoundError,
)

GREEDY: Mapping[str, Any] = {"temperature": 0, "top_p": None, "seed": 7, "max_tokens": 60}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One call.

    Args:
        given: Messages for `ChatVoxtral`, a string for `VoxtralLLM`.
        streamed: Whether it calls `stream` instead of `invoke`.
        settings: For the constructor.
        error: The error that it raises, if any.
    """

    given: list[BaseMessage] | str
    streamed: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    error: type[VoxtralError] | None = None

    def model(self, base_url: str, api_key: str | None = None) -> ChatVoxtral | VoxtralLLM:
        """Return the model to call."""
        model_class = VoxtralLLM if isinstance(self.given, str) else ChatVoxtral
        return model_class(base_url=base_url, **{"api_key": api_key, **GREEDY, **self.settings})


QUESTION: list[BaseMessage] = [
    SystemMessage("You answer in one short sentence."),
    HumanMessage("What is the capital of France?"),
]
CONVERSATION: list[BaseMessage] = [
    HumanMessage("Où se trouve Zürich?"),
    AIMessage("Zürich is in Switzerland."),
    HumanMessage("Name one lake there."),
]
CHEF: list[BaseMessage] = [
    SystemMessage("Respond like a michelin starred chef."),
    HumanMessage("Can you name at least two different techniques to cook lamb?"),
    AIMessage(
        "Bonjour! Let me tell you, my friend, cooking lamb is an art form, and I'm more than happy "
        "to share with you not two, but three of my favorite techniques to coax out the rich, "
        "unctuous flavors and tender textures of this majestic protein. First, we have the classic "
        '"Sous Vide" method. Next, we have the ancient art of "Sous le Sable". And finally, we '
        'have the more modern technique of "Hot Smoking."'
    ),
    HumanMessage("Tell me more about the second method."),
]
"""The conversation of DeepInfra's API page."""
CITY: list[BaseMessage] = [HumanMessage("Give me a city and its country as JSON.")]
CITY_SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "country": {"type": "string", "maxLength": 20},
    },
    "required": ["city", "country"],
    "additionalProperties": False,
}
AS_CITY = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY_SCHEMA}}
LONG: list[BaseMessage] = [HumanMessage("word " * 300)]

SCENARIOS: dict[str, Scenario] = {
    "chat_invoke": Scenario(QUESTION),
    "chat_stream": Scenario(QUESTION, streamed=True),
    "chat_conversation": Scenario(CONVERSATION),
    "chat_stop": Scenario(QUESTION, settings={"stop": [" is Par"]}),
    "chat_stop_stream": Scenario(QUESTION, streamed=True, settings={"stop": [" is Par"]}),
    "chat_length": Scenario(QUESTION, settings={"max_tokens": 4}),
    "chat_length_stream": Scenario(QUESTION, streamed=True, settings={"max_tokens": 4}),
    "chat_schema": Scenario(CITY, settings={"response_format": AS_CITY}),
    "llm_invoke": Scenario("What is the capital of Italy?"),
    "llm_stream": Scenario("What is the capital of Italy?", streamed=True),
    "unknown_model": Scenario(
        QUESTION, settings={"model": "mistralai/no-such-model"}, error=VoxtralNotFoundError
    ),
    "wrong_key": Scenario(
        QUESTION,
        settings={"api_key": "not-the-key-of-this-server"},
        error=VoxtralAuthenticationError,
    ),
    "invalid_field": Scenario(
        QUESTION,
        settings={"model_kwargs": {"max_new_words": 5}},
        error=VoxtralInvalidRequestError,
    ),
    "context_overflow": Scenario(LONG, error=VoxtralContextOverflowError),
    "context_overflow_stream": Scenario(LONG, streamed=True, error=VoxtralContextOverflowError),
    "busy_invoke": Scenario(QUESTION),
    "busy_stream": Scenario(QUESTION, streamed=True),
}

SMALL_CONTEXT = 256
"""The context size in tokens in the scenarios that overflow it."""


class _ResultRecorder(BaseCallbackHandler):
    """Records the final result, the only place where `VoxtralLLM` has metadata."""

    result: LLMResult | None = None

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self.result = response


def play(model: ChatVoxtral | VoxtralLLM, scenario: Scenario) -> AIMessage:
    """Make the call and return the answer as a message."""
    recorder = _ResultRecorder()
    config: Any = {"callbacks": [recorder]}
    with model:
        if scenario.streamed:
            answer: Any = reduce(add, model.stream(scenario.given, config))
            return _message(answer, recorder)
        return _message(model.invoke(scenario.given, config), recorder)


async def aplay(model: ChatVoxtral | VoxtralLLM, scenario: Scenario) -> AIMessage:
    """Do what `play` does, asynchronously."""
    recorder = _ResultRecorder()
    config: Any = {"callbacks": [recorder]}
    async with model:
        if scenario.streamed:
            answer: Any = [part async for part in model.astream(scenario.given, config)]
            return _message(reduce(add, answer), recorder)
        return _message(await model.ainvoke(scenario.given, config), recorder)


def _message(answer: AIMessage | AIMessageChunk | str, recorder: _ResultRecorder) -> AIMessage:
    """Return the answer as a message; that of a string comes from the callbacks."""
    if isinstance(answer, str):
        result = recorder.result
        generation = None if result is None else result.generations[0][0]
        if not isinstance(generation, ChatGeneration) or generation.text != answer:
            raise ValueError(f"callbacks were told {generation!r}, the caller {answer!r}")
        answer = generation.message  # type: ignore[assignment]
    message = message_chunk_to_message(answer)  # type: ignore[arg-type]
    if not isinstance(message, AIMessage):
        raise TypeError(f"not an answer: {message!r}")
    return message.model_copy(update={"id": None})
