"""What can be wrong with a recording, and the libraries that decode it."""

from typing import Any

from langchain_voxtral.errors import VoxtralError, VoxtralInvalidRequestError

__all__ = ["VoxtralAudioError", "VoxtralMissingAudioExtraError", "VoxtralTruncatedAudioError"]


class VoxtralAudioError(VoxtralInvalidRequestError):
    """A recording that cannot be decoded; the message says which, what is wrong and where."""


class VoxtralTruncatedAudioError(VoxtralAudioError):
    """A recording whose sound ends before the file says it does, or breaks off on damage."""


class VoxtralMissingAudioExtraError(VoxtralError, ImportError):
    """A library of the `audio` extra is not installed."""

    def __init__(self, library: str, **facts: Any) -> None:
        super().__init__(
            f"Decoding a recording needs {library}, which is not installed: "
            'pip install "langchain-voxtral[audio]"',
            **facts,
        )
