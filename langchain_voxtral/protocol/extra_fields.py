"""Fields of transcription requests that this package has no name for (`model_kwargs`)."""

import math
from collections.abc import Mapping
from typing import Any

_RESERVED = {
    "audio": "the recording",
    "chunk_level": "timestamps=",
    "diarize": "speakers=",
    "file": "the recording",
    "file_id": "the recording",
    "file_url": "the recording",
    "initial_prompt": "prompt=",
    "input": "the recording",
    "input_audio": "the recording",
    "language": "language=",
    "messages": "the recording",
    "model": "model=",
    "prompt": "prompt=",
    "response_format": "timestamps=",
    "stream": "the call",
    "stream_include_usage": "the call",
    "task": "task=",
    "temperature": "temperature=",
    "timestamp_granularities": "timestamps=",
    "timestamp_granularities[]": "timestamps=",
}
"""Names that are taken, at one endpoint or another, and what sets them."""


def check_extra_fields(extra: Mapping[str, Any]) -> None:
    """Check that no name is taken.

    Raises:
        ValueError: One is; the message says by what.
    """
    for name in extra:
        if name in _RESERVED:
            raise ValueError(f"{name!r} is set through {_RESERVED[name]}, not through model_kwargs")


def encode_extra_fields(extra: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return fields as a form has them: true or false, and a list as a field for each item.

    Raises:
        ValueError: A value has no form as text.
    """
    fields = []
    for name, value in extra.items():
        items = value if isinstance(value, list | tuple) else [value]
        fields += [(name, _encode(name, item)) for item in items]
    return fields


def _encode(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise ValueError(
        f"{name!r} of model_kwargs becomes a field of a form, which takes a text, a number, a "
        f"bool or a list of them, not {value if isinstance(value, float) else type(value).__name__}"
    )
