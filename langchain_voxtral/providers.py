"""The kinds of servers that Voxtral is served by: their paths, and how they take audio."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralUnsupportedFeatureError

__all__ = ["PROVIDERS", "Provider", "ProviderName", "Route"]

ProviderName = Literal["deepinfra", "vllm", "llama_cpp"]
Route = Literal["native", "chat_completions", "transcriptions", "translations"]


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """A kind of server; there is one of each, so they compare by identity.

    Args:
        name: Its name, also the provider's in metadata and traces.
        paths: Where it answers, relative to the base URL, `{model}` being the model's name; None
            for what it does not have.
        audio_formats: Formats that it takes untouched; all others are made wav.
        has_timestamps: Whether its transcriptions may have the times of segments.
        system_with_audio: Whether a conversation with audio may have a system turn.
        longest_seconds: Longest recording in one request.
        most_bytes: Largest recording in one request.
        names: What it calls fields of chat completions that the others call otherwise.
        names_tools: Whether `tool_choice` may name a tool. If not, it is offered that tool alone,
            and must call.
        prompt_is_hint: Whether the prompt of a transcription stands beside the server's own
            instruction. If not, it takes that one's place.
    """

    name: ProviderName
    paths: Mapping[Route, str | None]
    audio_formats: frozenset[str]
    has_timestamps: bool
    system_with_audio: bool
    longest_seconds: float
    most_bytes: int
    names: Mapping[str, str] = field(default_factory=dict)
    names_tools: bool = True
    prompt_is_hint: bool = True

    def path(self, route: Route) -> str:
        """Return where something is asked for, relative to the base URL.

        Raises:
            VoxtralUnsupportedFeatureError: The server does not have it; the message says what
                may do instead.

        Example:
            ```python
            from langchain_voxtral.providers import PROVIDERS

            assert PROVIDERS["vllm"].path("transcriptions") == "/audio/transcriptions"
            ```
        """
        path = self.paths[route]
        if path is None:
            raise VoxtralUnsupportedFeatureError(_INSTEAD[route].format(server=self.name))
        return path

    def audio_part(self, data: bytes, audio_format: str) -> dict[str, Any]:
        """Return a recording as a part of a message's content.

        It is an `input_audio` part, which all servers take.

        Args:
            data: The recording.
            audio_format: What it is, one of `audio_formats`.

        Raises:
            VoxtralInvalidRequestError: The server takes no such format.

        Example:
            ```python
            from langchain_voxtral.providers import PROVIDERS

            assert PROVIDERS["deepinfra"].audio_part(b"RIFF", "wav") == {
                "type": "input_audio",
                "input_audio": {"data": "UklGRg==", "format": "wav"},
            }
            ```
        """
        if audio_format not in self.audio_formats:
            known = ", ".join(map(repr, sorted(self.audio_formats)))
            raise VoxtralInvalidRequestError(
                f"server={self.name!r} takes no {audio_format!r} audio, only {known}: convert it "
                "to wav."
            )
        sound = {"data": b64encode(data).decode(), "format": audio_format}
        return {"type": "input_audio", "input_audio": sound}


_INSTEAD: dict[Route, str] = {
    "native": (
        "server={server!r} has no native endpoint, only DeepInfra and the embedded engine have: "
        "pass api='chat_completions', or for speech endpoint='transcriptions'."
    ),
    "chat_completions": "server={server!r} has no chat completions: pass api='native'.",
    "transcriptions": "server={server!r} has no transcriptions: ask in a chat (endpoint='chat').",
    "translations": (
        "server={server!r} cannot translate speech at an endpoint of its own: transcribe it and "
        "translate the text, or ask for the translation in a chat (endpoint='chat')."
    ),
}

_WAV_AND_MP3 = frozenset({"wav", "mp3"})

# The limits are vLLM's; DeepInfra and llama.cpp publish none, and the model itself hears 30
# minutes. Ten minutes fit the context of all.
_LONGEST_SECONDS = 600.0
_MOST_BYTES = 25_000_000

PROVIDERS: Mapping[ProviderName, Provider] = {
    server.name: server
    for server in (
        # Its API pages and OpenAPI description; `audio_url` parts are not in them. The embedded
        # engine speaks the same protocol.
        Provider(
            name="deepinfra",
            paths={
                "native": "/inference/{model}",
                "chat_completions": "/openai/chat/completions",
                "transcriptions": "/openai/audio/transcriptions",
                "translations": "/openai/audio/translations",
            },
            audio_formats=_WAV_AND_MP3,
            has_timestamps=True,
            system_with_audio=False,
            longest_seconds=_LONGEST_SECONDS,
            most_bytes=_MOST_BYTES,
        ),
        # Its OpenAI speech-to-text API and its model of Voxtral. There is a path for translations,
        # but the model does not look at the task and answers there with a transcription. Formats
        # with times need a model with time tokens, which Voxtral has not: a 400. A chat takes five
        # recordings. MP3 it reads only with a libsndfile that does, which not all images have.
        Provider(
            name="vllm",
            paths={
                "native": None,
                "chat_completions": "/chat/completions",
                "transcriptions": "/audio/transcriptions",
                "translations": None,
            },
            audio_formats=frozenset({"wav"}),
            has_timestamps=False,
            system_with_audio=False,
            longest_seconds=_LONGEST_SECONDS,
            most_bytes=_MOST_BYTES,
        ),
        # `llama-server`. It makes a chat of a transcription: the prompt is what it asks the model
        # to do, and any other format than json is a 400. It passes over fields that it does not
        # know, and over a `tool_choice` that is no string.
        Provider(
            name="llama_cpp",
            paths={
                "native": None,
                "chat_completions": "/chat/completions",
                "transcriptions": "/audio/transcriptions",
                "translations": None,
            },
            audio_formats=_WAV_AND_MP3,
            has_timestamps=False,
            system_with_audio=False,
            longest_seconds=_LONGEST_SECONDS,
            most_bytes=_MOST_BYTES,
            names={"repetition_penalty": "repeat_penalty"},
            names_tools=False,
            prompt_is_hint=False,
        ),
    )
}
