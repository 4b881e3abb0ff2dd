"""What the models can do, for code that asks before it sends.

Sources: the model cards of Voxtral-Mini-3B-2507 and Voxtral-Small-24B-2507 on the model hub,
DeepInfra's model metadata, and the models' pages of Mistral (docs.mistral.ai) and OpenRouter, read
in November 2026.
"""

from importlib.util import find_spec
from math import inf
from typing import Any

from langchain_voxtral.errors import VoxtralUnsupportedFeatureError

VOXTRAL_MINI = "mistralai/Voxtral-Mini-3B-2507"
"""Voxtral Mini's name at DeepInfra and on the model hub."""
VOXTRAL_SMALL = "mistralai/Voxtral-Small-24B-2507"
"""Voxtral Small's name there."""
LOCAL_MODEL = "SmolLM2-135M-Instruct"
"""The embedded engine's own model."""

_VOXTRAL_MINI_PROFILE: dict[str, Any] = {
    "name": "Voxtral Mini 3B 2507",
    "open_weights": True,
    "release_date": "2025-07-15",
    # The context is shared: DeepInfra generates at most what the prompt leaves of it.
    "max_input_tokens": 32768,
    "max_output_tokens": 16384,
    "text_inputs": True,
    "image_inputs": False,
    "image_url_inputs": False,
    "pdf_inputs": False,
    "audio_inputs": True,
    "video_inputs": False,
    "text_outputs": True,
    "image_outputs": False,
    "audio_outputs": False,
    "video_outputs": False,
    "reasoning_output": False,
    "tool_calling": True,
    "tool_choice": True,
    "temperature": True,
}
_VOXTRAL_SMALL_PROFILE = _VOXTRAL_MINI_PROFILE | {"name": "Voxtral Small 24B 2507"}

_LOCAL_PROFILE: dict[str, Any] = _VOXTRAL_MINI_PROFILE | {
    "name": "SmolLM2 135M Instruct (embedded)",
    "release_date": "2024-11-02",
    "max_input_tokens": 4096,
    "max_output_tokens": 4096,
}


def _without_output_limit(profile: dict[str, Any]) -> dict[str, Any]:
    """Return the profile of a model at a server that publishes no limit of answers."""
    return {name: value for name, value in profile.items() if name != "max_output_tokens"}


# `voxtral-mini-latest` and `voxtral-small-latest` have none, since they name one model today and
# may name another tomorrow; the first is a transcription model at Mistral now.
_PROFILES = {
    VOXTRAL_MINI: _VOXTRAL_MINI_PROFILE,
    VOXTRAL_SMALL: _VOXTRAL_SMALL_PROFILE,
    "voxtral-mini-2507": _without_output_limit(_VOXTRAL_MINI_PROFILE),
    "voxtral-small-2507": _without_output_limit(_VOXTRAL_SMALL_PROFILE),
    # OpenRouter lists 32,000 tokens, not 32,768.
    "mistralai/voxtral-small-24b-2507": _without_output_limit(_VOXTRAL_SMALL_PROFILE)
    | {"max_input_tokens": 32000},
    LOCAL_MODEL: _LOCAL_PROFILE,
}

VOXTRAL_TRANSCRIBE_3 = frozenset(
    f"voxtral-{size}-transcribe-{version}"
    for size in ("mini", "small")
    for version in ("3-0", "3", "latest")
)
"""Mistral's names for the transcription models of Voxtral 3."""
_TRANSCRIPTION_MODELS = frozenset(
    {
        "voxtral-mini-2602",  # Voxtral Mini Transcribe 2
        "mistralai/voxtral-mini-transcribe",
        *VOXTRAL_TRANSCRIBE_3,
        *(f"mistralai/{name}" for name in VOXTRAL_TRANSCRIBE_3),
    }
)
"""Models of Mistral's and OpenRouter's that only transcribe."""


def get_profile(model: str) -> dict[str, Any] | None:
    """Return a copy of the profile of `NAME` or `NAME:VERSION`, or None for an unknown model."""
    name = model.partition(":")[0]
    profile = _PROFILES.get(name)
    if profile is None:
        return None
    if name == LOCAL_MODEL:  # audio goes to another model, that of the `local-speech` extra
        return profile | {"audio_inputs": find_spec("faster_whisper") is not None}
    return profile.copy()


def known_limits(model: str) -> tuple[float, float]:
    """Return how many tokens a model's context has, and an answer of it at most."""
    profile = _PROFILES.get(model.partition(":")[0], {})
    return profile.get("max_input_tokens", inf), profile.get("max_output_tokens", inf)


def check_chat_model(model: str, alternative: str) -> None:
    """Check that a model is not known to transcribe only.

    Args:
        model: Its name.
        alternative: The name of a model at the same server that chats.

    Raises:
        VoxtralUnsupportedFeatureError: It does nothing else.
    """
    if model in _TRANSCRIPTION_MODELS:
        raise VoxtralUnsupportedFeatureError(
            f"model={model!r} only transcribes: for chats take model={alternative!r}, and for "
            "transcriptions a VoxtralTranscriber or VoxtralTranscriptionParser with "
            "endpoint='transcriptions'."
        )
