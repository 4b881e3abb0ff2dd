"""What the models can do, for code that asks before it sends.

Sources: the model card of Voxtral-Mini-3B-2507 and DeepInfra's model metadata.
"""

from importlib.util import find_spec
from typing import Any

VOXTRAL_MINI = "mistralai/Voxtral-Mini-3B-2507"
"""Voxtral Mini's name at DeepInfra and on the model hub."""
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

_LOCAL_PROFILE: dict[str, Any] = _VOXTRAL_MINI_PROFILE | {
    "name": "SmolLM2 135M Instruct (embedded)",
    "release_date": "2024-11-02",
    "max_input_tokens": 4096,
    "max_output_tokens": 4096,
}

_PROFILES = {
    VOXTRAL_MINI: _VOXTRAL_MINI_PROFILE,
    LOCAL_MODEL: _LOCAL_PROFILE,
}


def get_profile(model: str) -> dict[str, Any] | None:
    """Return a copy of the profile of `NAME` or `NAME:VERSION`, or None for an unknown model."""
    name = model.partition(":")[0]
    profile = _PROFILES.get(name)
    if profile is None:
        return None
    if name == LOCAL_MODEL:  # audio goes to another model, that of the `local-speech` extra
        return profile | {"audio_inputs": find_spec("moonshine_voice") is not None}
    return profile.copy()
