"""Recordings by reference: a store, a model that reads it, and what arrives at its server."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from langchain_core.messages import HumanMessage
from langchain_core.stores import InMemoryByteStore
from pydantic import SecretStr
from support.documented_exchanges import KEY, Server
from support.speech_samples import speech, wav_bytes
from support.strict_servers import strict

from langchain_voxtral import ChatVoxtral, audio_block

MINUTE = wav_bytes(np.resize(speech(), 60 * 16_000))


class StoredRecordings:
    """A store, and a model that reads it; its server is as strict about requests as DeepInfra.

    Attributes:
        store: The store.
        chat: The model.
    """

    def __init__(self, server: Server) -> None:
        server.answer = strict("deepinfra")
        self._server, self.store = server, InMemoryByteStore()
        self.chat = ChatVoxtral(
            api_key=SecretStr(KEY),
            api="chat_completions",
            audio_store=self.store,
            **server.settings,
        )

    def ask(self, sound: bytes = MINUTE, transcript: str | None = None) -> HumanMessage:
        """Return a question about a recording, by reference."""
        block = audio_block(sound, store=self.store, transcript=transcript)
        return HumanMessage([block, {"type": "text", "text": "What is said?"}])

    @property
    def sent(self) -> list[list[bytes]]:
        """The recordings in each request."""
        return [recordings_in(body) for body in self._server.bodies]


def recordings_in(body: Mapping[str, Any]) -> list[bytes]:
    """Return the recordings in a request."""
    lists = [one["content"] for one in body["messages"] if isinstance(one["content"], list)]
    parts = [part for parts in lists for part in parts if part["type"] == "input_audio"]
    return [base64.b64decode(part["input_audio"]["data"]) for part in parts]
