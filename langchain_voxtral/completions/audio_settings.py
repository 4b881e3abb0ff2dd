"""Settings of a chat for recordings in messages, and what is done with them."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field, PrivateAttr

from langchain_voxtral.audio.source import AudioInput
from langchain_voxtral.audio_store import AudioStore, open_store, to_key
from langchain_voxtral.completions.audio_inputs import (
    AudioCache,
    aload_audio,
    load_audio,
    with_seconds,
)
from langchain_voxtral.completions.chat_body import SystemWithAudio
from langchain_voxtral.connection import PART_CONFIG
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import Turn
from langchain_voxtral.messages.recordings import audio_block, read_for_store
from langchain_voxtral.providers import Provider
from langchain_voxtral.transport import FetchPolicy, to_thread


class AudioSettings(BaseModel):
    """Where recordings of messages come from, and what goes with them."""

    model_config = PART_CONFIG

    system_with_audio: SystemWithAudio = Field(
        default="merge",
        description="Voxtral does not accept system text together with recordings: "
        '`"merge"` it into the following text of the user, or raise an '
        '`"error"`.',
    )
    allow_audio_urls: bool = Field(
        default=False,
        description="Whether to download recordings from URLs in messages: over http(s), from "
        "public addresses, within limits of size and time, without a proxy or "
        "redirects. Each call downloads them again.",
    )
    audio_store: AudioStore | None = Field(
        default=None,
        repr=False,
        exclude=True,
        description="Store for recordings that messages or blocks refer to by hash, filled by "
        "`audio_block(..., store=...)` or `put_audio`: a `BaseStore[str, bytes]`, or "
        '`"cache"`, a folder in the cache directory (`VOXTRAL_CACHE` sets '
        "another).",
    )

    _audio_cache: AudioCache = PrivateAttr(default_factory=AudioCache)

    def model_post_init(self, context: Any, /) -> None:
        """Run the hooks of other bases, which the private attribute would hide."""
        super().model_post_init(context)

    def put_audio(self, source: AudioInput, transcript: str | None = None) -> dict[str, Any]:
        """Put a recording into the model's store, and return the block that names it.

        Args:
            source: The recording, as for `audio_block`.
            transcript: What is said in it, if that is known.

        Raises:
            VoxtralAudioError: It cannot be read, is no recording, or is cut off.
            VoxtralInvalidRequestError: The model has no `audio_store`.

        Example:
            ```python
            from langchain_core.messages import HumanMessage
            from langchain_voxtral import ChatVoxtral

            chat = ChatVoxtral(base_url="local", audio_store="cache")
            chat.invoke([HumanMessage([chat.put_audio("talk.mp3"), "What is said?"])])
            ```
        """
        return audio_block(source, store=self._own_store(), transcript=transcript)

    async def aput_audio(self, source: AudioInput, transcript: str | None = None) -> dict[str, Any]:
        """Do what `put_audio` does; neither reading nor writing blocks the event loop."""
        store = open_store(self._own_store())
        block, data = await to_thread(read_for_store, source, transcript)
        await store.amset([(to_key(block["file_id"]), data)])
        return block

    def _own_store(self) -> AudioStore:
        if self.audio_store is None:
            raise VoxtralInvalidRequestError(
                "The model has no store to put a recording into: give audio_store= to the model "
                "(any BaseStore[str, bytes], or 'cache')."
            )
        return self.audio_store

    def _load_audio(self, turns: Sequence[Turn], server: Provider) -> Sequence[Turn]:
        policy, cache = self._fetch_policy(server), self._audio_cache
        return load_audio(turns, server, policy, cache, self.audio_store)

    async def _aload_audio(self, turns: Sequence[Turn], server: Provider) -> Sequence[Turn]:
        policy, cache = self._fetch_policy(server), self._audio_cache
        return await aload_audio(turns, server, policy, cache, self.audio_store)

    def _with_seconds(self, turns: Sequence[Turn], server: Provider) -> Sequence[Turn]:
        return with_seconds(turns, server, self._audio_cache, self.audio_store)

    def _fetch_policy(self, server: Provider) -> FetchPolicy | None:
        return FetchPolicy(server.max_audio_bytes) if self.allow_audio_urls else None
