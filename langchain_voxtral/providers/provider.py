"""`Provider`: what one kind of server has, and how its requests are written."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralUnsupportedFeatureError
from langchain_voxtral.profiles import VOXTRAL_MINI
from langchain_voxtral.providers.urls import LOCAL_BASE_URL, is_in_domain

ProviderName = Literal["deepinfra", "mistral", "openrouter", "vllm", "llama_cpp"]
TurnOrder = Literal["any", "mistral"]
"""The order of turns that a template takes: any, or only that of Mistral's templates."""
EndpointName = Literal["native", "chat_completions", "transcriptions", "translations"]
Timestamps = Literal["segment", "word"]
"""What transcripts have times of: passages, or words too."""
AudioForm = Literal["object", "string"]
"""What `input_audio` is: an object with `data` and `format`, or the base64 alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """A kind of server; there is one object for each, so they compare by identity.

    Args:
        name: Its name, also the provider's in metadata and traces.
        label: Its name in messages.
        paths: The path of each endpoint below the base URL, `{model}` being the model's name; None
            for an endpoint that it does not have.
        example_base_url: Its address; for servers that users run, an example for messages.
        domain: The domain that its keys are sent to, over https only; None for servers that users
            run, whose address must be given.
        dropped_suffix: An end of its address that users paste along. Without one, addresses must
            end in `/v1`.
        is_embedded: Whether the embedded engine speaks its protocol, so that `base_url` may be
            `"local"`.
        key_variables: Environment variables for its key, in the order in which they are read.
        keys_url: Where its keys come from.
        model_names: What its names of models look like, for a message; empty if any text may be
            one.
        chat_model: The model of a chat that names none.
        transcription_model: The model of a transcription that names none.
        words_model: The same, if times of words are wanted and that one has none.
        audio_formats: Formats that it takes as they are; all others are converted to WAV.
        audio_form: What `input_audio` is in a message.
        timestamps: What transcriptions may have times of.
        words_replace_segments: Whether words with times, if requested, are the segments of a
            transcription. If not, they come beside them.
        models_without_words: Models whose transcriptions have no times of words all the same.
        has_speakers: Whether transcriptions may tell speakers apart.
        streams_transcriptions: Whether transcriptions may be streamed.
        turn_order: The order of turns that its chat template takes.
        max_audio_seconds: Longest recording in one request.
        max_audio_bytes: Largest recording in one request.
        max_diarized_seconds, max_diarized_bytes: The same where speakers are told apart, whose
            names count for one request only.
        prices_per_minute: US dollars for a minute of transcribed audio, by model.
        field_names: Its names for fields of chat completions that other servers name otherwise.
        missing_form_fields: Fields of OpenAI's transcriptions that its own have not.
        takes_json_recordings: Whether a transcription is JSON with the recording in base64, not a
            form.
        timestamps_exclude_language: Whether a transcription may have times or a requested
            language, but not both.
        missing_settings: Settings that its chat completions have no field for; `regex` is that
            type of `response_format`.
        takes_stream_options: Whether a stream may be asked to report usage. Else it does anyway.
        prefill_fields: The fields of chat completions by which it continues a last assistant
            message, in place of beginning another.
        prefill_message_fields: The same, of that message, with which its answer then begins.
        trims_prefill: Whether it drops spaces at the end of such a message.
        transcription_stream_options: Further fields of the form of a streamed transcription.
        usage_options: Those of `stream_options` by which every chunk reports the usage so far.
        supports_named_tool_choice: Whether `tool_choice` may name a tool. If not, that tool alone
            is offered, and a call is required.
        keeps_own_instruction: Whether the prompt of a transcription is a hint beside the server's
            own instruction. If not, it replaces that instruction.
    """

    name: ProviderName
    label: str
    paths: Mapping[EndpointName, str | None]
    example_base_url: str
    audio_formats: frozenset[str]
    audio_form: AudioForm = "object"
    timestamps: frozenset[Timestamps] = frozenset()
    words_replace_segments: bool = False
    models_without_words: frozenset[str] = frozenset()
    has_speakers: bool = False
    streams_transcriptions: bool = False
    domain: str | None = None
    dropped_suffix: str = ""
    is_embedded: bool = False
    key_variables: tuple[str, ...] = ()
    keys_url: str = ""
    model_names: str = ""
    chat_model: str = VOXTRAL_MINI
    transcription_model: str = VOXTRAL_MINI
    words_model: str = ""
    turn_order: TurnOrder = "any"
    # The limits are vLLM's; DeepInfra and llama.cpp publish none, and the model itself takes 30
    # minutes. Ten minutes fit the context of all.
    max_audio_seconds: float = 600.0
    max_audio_bytes: int = 25_000_000
    max_diarized_seconds: float = 600.0
    max_diarized_bytes: int = 25_000_000
    prices_per_minute: Mapping[str, float] = field(default_factory=dict)
    field_names: Mapping[str, str] = field(default_factory=dict)
    missing_form_fields: frozenset[str] = frozenset()
    takes_json_recordings: bool = False
    timestamps_exclude_language: bool = False
    missing_settings: frozenset[str] = frozenset()
    takes_stream_options: bool = True
    prefill_fields: Mapping[str, object] = field(default_factory=dict)
    prefill_message_fields: Mapping[str, object] = field(default_factory=dict)
    trims_prefill: bool = False
    transcription_stream_options: Mapping[str, str] = field(default_factory=dict)
    usage_options: Mapping[str, object] = field(default_factory=dict)
    supports_named_tool_choice: bool = True
    keeps_own_instruction: bool = True

    def path(self, endpoint: EndpointName) -> str:
        """Return the path of an endpoint below the base URL.

        Raises:
            VoxtralUnsupportedFeatureError: The server does not have it; the message says what to
                use instead.
        """
        path = self.paths[endpoint]
        if path is None:
            raise VoxtralUnsupportedFeatureError(_ALTERNATIVES[endpoint].format(server=self.name))
        return path

    def audio_part(self, data: bytes, audio_format: str, base64: str = "") -> dict[str, Any]:
        """Return a recording as an `input_audio` part of a message's content.

        Args:
            data: Its bytes.
            audio_format: The short name of its format.
            base64: The bytes in base64, if that is known.

        Raises:
            VoxtralInvalidRequestError: The server takes no such format.
        """
        if audio_format not in self.audio_formats:
            known = ", ".join(map(repr, sorted(self.audio_formats)))
            raise VoxtralInvalidRequestError(
                f"server={self.name!r} takes no {audio_format!r} audio, only {known}: convert it "
                "to wav."
            )
        text = base64 or b64encode(data).decode()
        is_object = self.audio_form == "object"
        audio = {"data": text, "format": audio_format} if is_object else text
        return {"type": "input_audio", "input_audio": audio}

    def is_own_domain(self, base_url: str) -> bool:
        """Return whether an address is the provider's own, over https: where its keys may go."""
        return is_in_domain(base_url, self.domain)

    def timestamps_of(self, model: str) -> frozenset[Timestamps]:
        """Return what transcriptions of a model may have times of."""
        has_no_words = model in self.models_without_words
        return self.timestamps - {"word"} if has_no_words else self.timestamps

    def price_per_minute(self, base_url: str, model: str) -> float | None:
        """Return US dollars for a minute of audio, or None if the price is not known."""
        if base_url == LOCAL_BASE_URL:
            return 0.0
        is_listed = self.domain is not None and base_url == self.example_base_url
        return self.prices_per_minute.get(model) if is_listed else None


_ALTERNATIVES: dict[EndpointName, str] = {
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
