"""What can be wrong with a recording, and the libraries that decode it."""

from typing import Any

from langchain_voxtral.errors import VoxtralError, VoxtralInvalidRequestError

__all__ = [
    "VoxtralAudioError",
    "VoxtralMissingAudioExtraError",
    "VoxtralTruncatedAudioError",
    "joined",
]


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


def joined(at: int) -> VoxtralAudioError:
    """Return the error of files that were joined where their format has no such thing.

    Args:
        at: Where the second one begins, in bytes.
    """
    return VoxtralAudioError(
        f"another recording begins at byte {at}: files were joined, and only the first would be "
        "heard; give each on its own"
    )
