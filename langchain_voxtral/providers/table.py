"""The table of servers, one row each."""

from collections.abc import Mapping

from langchain_voxtral.profiles import VOXTRAL_MINI, VOXTRAL_SMALL, VOXTRAL_TRANSCRIBE_3
from langchain_voxtral.providers.provider import EndpointName, Provider, ProviderName

DEEPINFRA_URL = "https://api.deepinfra.com/v1"
DEEPINFRA_KEY_VARIABLES = ("DEEPINFRA_API_TOKEN", "DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN")
"""Environment variables for DeepInfra's key, in the order in which they are read."""

_OPENAI_PATHS: Mapping[EndpointName, str | None] = {
    "native": None,
    "chat_completions": "/chat/completions",
    "transcriptions": "/audio/transcriptions",
    "translations": None,
}

PROVIDERS: Mapping[ProviderName, Provider] = {
    provider.name: provider
    for provider in (
        # Its API pages and OpenAPI description; `audio_url` parts are not in them. A last assistant
        # message is continued without being asked. The embedded engine speaks the same protocol.
        Provider(
            name="deepinfra",
            label="DeepInfra",
            paths={
                "native": "/inference/{model}",
                "chat_completions": "/openai/chat/completions",
                "transcriptions": "/openai/audio/transcriptions",
                "translations": "/openai/audio/translations",
            },
            example_base_url=DEEPINFRA_URL,
            domain="deepinfra.com",
            dropped_suffix="/openai",
            is_embedded=True,
            key_variables=DEEPINFRA_KEY_VARIABLES,
            keys_url="https://deepinfra.com/dash/api_keys",
            model_names="'owner/name', 'owner/name:VERSION' or 'deploy_id:ID'",
            audio_formats=frozenset({"wav", "mp3"}),
            timestamps=frozenset({"segment", "word"}),
            prices_per_minute={
                VOXTRAL_MINI: 0.001,  # as the models' pages list them, November 2026
                VOXTRAL_SMALL: 0.003,
            },
        ),
        # Mistral's own API, never tried live. Its fields are those of Mistral's Python client
        # (mistralai/client-python, October 2026) and of its pages (docs.mistral.ai): any other
        # field is a 422. `prefix` is a field of a message, with which the answer begins. Usage
        # comes with the last chunk of a stream, without being asked for. Limits by its pages:
        # about 20 minutes of audio in a chat, 15 minutes (2507) to 3 hours (2602) in a
        # transcription; FLAC, OGG and WebM are also taken. `timestamp_granularities` and
        # `language` exclude each other. Streams are events `transcription.*`, the last of which
        # has the whole text; which of text and segments they bring is not documented.
        Provider(
            name="mistral",
            label="Mistral",
            paths=_OPENAI_PATHS,
            example_base_url="https://api.mistral.ai/v1",
            domain="mistral.ai",
            key_variables=("MISTRAL_API_KEY",),
            keys_url="https://console.mistral.ai/api-keys",
            chat_model="voxtral-small-2507",
            transcription_model="voxtral-mini-transcribe-3-0",
            words_model="voxtral-mini-2602",
            audio_formats=frozenset({"wav", "mp3"}),
            audio_form="string",
            timestamps=frozenset({"segment", "word"}),
            words_replace_segments=True,
            # docs.mistral.ai/studio/audio/migrate-from-voxtral-2 (November 2026): a 400.
            models_without_words=VOXTRAL_TRANSCRIBE_3,
            has_speakers=True,
            # An hour as WAV. Voxtral 3 has a context of 65,536 tokens, which are 87 minutes, and
            # a file may have 512 MB (docs.mistral.ai/studio/audio/specs-and-limits/limits and
            # /resources/known-limitations, November 2026). Beyond two hours users of 2602 saw
            # time-outs of the server (github.com/murtaza-nasir/speakr/issues/267, April 2026).
            max_diarized_seconds=3600.0,
            max_diarized_bytes=120_000_000,
            streams_transcriptions=True,
            turn_order="mistral",
            missing_form_fields=frozenset(
                {"prompt", "response_format", "timestamp_granularities[]"}
            ),
            timestamps_exclude_language=True,
            # mistral.ai/news/voxtral-transcribe-2 (February 2026); for Voxtral 3 what Vercel's
            # gateway lists for Mistral a second (November 2026), since Mistral's own page was not
            # at hand. Chats of Voxtral Small cost $0.004 a minute and tokens beside, so that a
            # minute has no price.
            prices_per_minute={
                "voxtral-mini-2602": 0.003,
                "voxtral-mini-transcribe-3-0": 0.0035,
                "voxtral-mini-transcribe-3": 0.0035,
                "voxtral-small-transcribe-3-0": 0.004,
                "voxtral-small-transcribe-3": 0.004,
            },
            field_names={"seed": "random_seed"},
            missing_settings=frozenset(
                {"top_k", "min_p", "repetition_penalty", "user", "logprobs", "regex"}
            ),
            takes_stream_options=False,
            prefill_message_fields={"prefix": True},
            trims_prefill=True,
        ),
        # OpenRouter, never tried live; it has Voxtral from Mistral, so the order of turns is
        # Mistral's. By its pages (openrouter.ai/docs, November 2026): audio in chats and in
        # transcriptions is base64 in JSON; usage and cost always come, and options for that are
        # without effect; times are for models of OpenAI's protocol only.
        Provider(
            name="openrouter",
            label="OpenRouter",
            paths=_OPENAI_PATHS,
            example_base_url="https://openrouter.ai/api/v1",
            domain="openrouter.ai",
            key_variables=("OPENROUTER_API_KEY",),
            keys_url="https://openrouter.ai/settings/keys",
            chat_model="mistralai/voxtral-small-24b-2507",
            transcription_model="mistralai/voxtral-mini-transcribe-3-0",
            audio_formats=frozenset({"wav", "mp3"}),
            turn_order="mistral",
            # $0.000058 a second, by its model page (November 2026). It reports what it charged;
            # other addresses of it have other prices.
            prices_per_minute={"mistralai/voxtral-mini-transcribe-3-0": 0.00348},
            missing_form_fields=frozenset({"prompt"}),
            takes_json_recordings=True,
            missing_settings=frozenset({"n", "prompt_cache_key", "regex"}),
            takes_stream_options=False,
        ),
        # Its OpenAI speech-to-text API and its model of Voxtral. There is a path for translations,
        # but the model does not look at the task and answers there with a transcription. Formats
        # with times need a model with time tokens, which Voxtral has not: a 400. A chat takes five
        # recordings. MP3 it reads only with a libsndfile that does, which not all images have.
        # Mistral's tokenizer drops spaces at the end of a message that is continued. Streamed
        # transcriptions are chunks like those of chats, with a finish reason for each part that
        # it cuts a recording into; a report of the usage and `[DONE]` end them.
        # `mistral-common` checks the order of messages; its versions differ.
        Provider(
            name="vllm",
            label="vLLM",
            paths=_OPENAI_PATHS,
            example_base_url="http://127.0.0.1:8000/v1",
            audio_formats=frozenset({"wav"}),
            streams_transcriptions=True,
            transcription_stream_options={"stream_include_usage": "true"},
            turn_order="mistral",
            prefill_fields={"continue_final_message": True, "add_generation_prompt": False},
            trims_prefill=True,
            usage_options={"continuous_usage_stats": True},
        ),
        # `llama-server`. It makes a chat of a transcription: the prompt is what it asks the model
        # to do, and any other format than json is a 400. It ignores fields that it does not know,
        # and a `tool_choice` that is no string. A last assistant message is continued, unless it
        # runs with --no-prefill-assistant. Streamed transcriptions are OpenAI's events
        # `transcript.text.*`; the last one repeats no text.
        Provider(
            name="llama_cpp",
            label="llama.cpp",
            paths=_OPENAI_PATHS,
            example_base_url="http://127.0.0.1:8080/v1",
            audio_formats=frozenset({"wav", "mp3"}),
            streams_transcriptions=True,
            turn_order="mistral",
            field_names={"repetition_penalty": "repeat_penalty"},
            supports_named_tool_choice=False,
            keeps_own_instruction=False,
        ),
    )
}

DEEPINFRA = PROVIDERS["deepinfra"]
