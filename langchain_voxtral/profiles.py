"""What the models can do, for code that asks before it sends.

Sources: the model card of Voxtral-Mini-3B-2507 and DeepInfra's model metadata.
"""

from importlib.util import find_spec
from typing import Any

LOCAL_MODEL = "SmolLM2-135M-Instruct"
"""The embedded engine's own model."""

_VOXTRAL_MINI: dict[str, Any] = {
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

_STAND_IN: dict[str, Any] = _VOXTRAL_MINI | {
    "name": "SmolLM2 135M Instruct (embedded)",
    "release_date": "2024-11-02",
    "max_input_tokens": 4096,
    "max_output_tokens": 4096,
}

_PROFILES = {
    "mistralai/Voxtral-Mini-3B-2507": _VOXTRAL_MINI,
    LOCAL_MODEL: _STAND_IN,
}


def get_profile(model: str) -> dict[str, Any] | None:
    """Return a copy of a model's profile, or None for a model that is not known.

    Args:
        model: The model's name; a `:VERSION` is left aside.

    Example:
        ```python
        assert profile_of("mistralai/Voxtral-Mini-3B-2507")["max_input_tokens"] == 32768
        ```
    """
    name = model.partition(":")[0]
    profile = _PROFILES.get(name)
    if profile is None:
        return None
    if name == LOCAL_MODEL:  # the engine hears with another model, that of the `local-speech` extra
        return profile | {"audio_inputs": find_spec("moonshine_voice") is not None}
    return profile.copy()
