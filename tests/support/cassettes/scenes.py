"""What is recorded: calls through the public classes, played by recorder and tests alike."""

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
class Scene:
    """One call.

    Args:
        given: Messages for `ChatVoxtral`, a string for `VoxtralLLM`.
        streamed: Whether it is `stream`, not `invoke`.
        settings: For the constructor.
        error: What the call raises, if it does.
    """

    given: list[BaseMessage] | str
    streamed: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    error: type[VoxtralError] | None = None

    def model(self, base_url: str, api_key: str | None = None) -> ChatVoxtral | VoxtralLLM:
        """Return the model to call."""
        face = VoxtralLLM if isinstance(self.given, str) else ChatVoxtral
        return face(base_url=base_url, **{"api_key": api_key, **GREEDY, **self.settings})


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
LIST: list[BaseMessage] = [HumanMessage("Count from one to five in words, with commas.")]
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

SCENES: dict[str, Scene] = {
    "chat_invoke": Scene(QUESTION),
    "chat_stream": Scene(QUESTION, streamed=True),
    "chat_conversation": Scene(CONVERSATION),
    "chat_stop": Scene(LIST, settings={"stop": [", three"]}),
    "chat_stop_stream": Scene(LIST, streamed=True, settings={"stop": [", three"]}),
    "chat_length": Scene(LIST, settings={"max_tokens": 4}),
    "chat_length_stream": Scene(LIST, streamed=True, settings={"max_tokens": 4}),
    "chat_schema": Scene(CITY, settings={"response_format": AS_CITY}),
    "llm_invoke": Scene("What is the capital of Italy?"),
    "llm_stream": Scene("What is the capital of Italy?", streamed=True),
    "unknown_model": Scene(
        QUESTION, settings={"model": "mistralai/no-such-model"}, error=VoxtralNotFoundError
    ),
    "wrong_key": Scene(
        QUESTION,
        settings={"api_key": "not-the-key-of-this-server"},
        error=VoxtralAuthenticationError,
    ),
    "invalid_field": Scene(
        QUESTION,
        settings={"model_kwargs": {"max_new_words": 5}},
        error=VoxtralInvalidRequestError,
    ),
    "context_overflow": Scene(LONG, error=VoxtralContextOverflowError),
    "context_overflow_stream": Scene(LONG, streamed=True, error=VoxtralContextOverflowError),
    "busy_invoke": Scene(QUESTION),
    "busy_stream": Scene(QUESTION, streamed=True),
}

SMALL_CONTEXT = 256
"""Tokens of context that the embedded engine has in the scenes that overflow it."""


class _Listener(BaseCallbackHandler):
    """Keeps what a model hands to callbacks at the end: for `VoxtralLLM` the only metadata."""

    result: LLMResult | None = None

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self.result = response


def play(model: ChatVoxtral | VoxtralLLM, scene: Scene) -> AIMessage:
    """Make the call and return the whole answer as a message."""
    listener = _Listener()
    config: Any = {"callbacks": [listener]}
    with model:
        if scene.streamed:
            said: Any = reduce(add, model.stream(scene.given, config))
            return _message(said, listener)
        return _message(model.invoke(scene.given, config), listener)


async def aplay(model: ChatVoxtral | VoxtralLLM, scene: Scene) -> AIMessage:
    """Do what `play` does, asynchronously."""
    listener = _Listener()
    config: Any = {"callbacks": [listener]}
    async with model:
        if scene.streamed:
            said: Any = [part async for part in model.astream(scene.given, config)]
            return _message(reduce(add, said), listener)
        return _message(await model.ainvoke(scene.given, config), listener)


def _message(said: AIMessage | AIMessageChunk | str, listener: _Listener) -> AIMessage:
    """Return the message: what was said, or for a string the one beside it in the callbacks."""
    if isinstance(said, str):
        result = listener.result
        generation = None if result is None else result.generations[0][0]
        if not isinstance(generation, ChatGeneration) or generation.text != said:
            raise ValueError(f"callbacks were told {generation!r}, the caller {said!r}")
        said = generation.message  # type: ignore[assignment]
    message = message_chunk_to_message(said)  # type: ignore[arg-type]
    if not isinstance(message, AIMessage):
        raise TypeError(f"not an answer: {message!r}")
    return message.model_copy(update={"id": None})
