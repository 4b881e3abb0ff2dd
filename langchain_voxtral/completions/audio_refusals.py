"""Refusals of chats with recordings: which endpoints take recordings instead."""

from langchain_voxtral.errors import (
    VoxtralContextOverflowError,
    VoxtralInvalidRequestError,
    VoxtralNotFoundError,
)

_STATUSES = frozenset({400, 404, 405, 415, 422, 501})
"""Statuses by which a server may say that it takes no recordings in chats, or none of the model's.
DeepInfra lists Voxtral as a model of speech recognition, and does not say that it chats."""
_ADVICE = (
    "(If it is the recording that is not taken here: VoxtralTranscriber and "
    "VoxtralTranscriptionParser send it to endpoints for speech, endpoint='transcriptions' or "
    "'native'.)"
)


def add_audio_advice(error: BaseException) -> None:
    """Say in an error that may refuse a recording which endpoints take recordings."""
    if not isinstance(error, VoxtralInvalidRequestError | VoxtralNotFoundError):
        return
    is_too_long = isinstance(error, VoxtralContextOverflowError)
    if error.status_code in _STATUSES and not is_too_long:
        error.message += f" {_ADVICE}"
