"""What a server heard in a recording, whichever endpoint said it."""

from dataclasses import dataclass, field

from langchain_voxtral.protocol.responses import Usage


@dataclass(frozen=True, slots=True)
class Segment:
    """A passage of speech.

    Args:
        start: Seconds from the beginning of the recording that was sent.
        end: The same, not before `start`.
        text: What is said, as the server wrote it.
        id: The server's number for it, if it has one.
    """

    start: float
    end: float
    text: str
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcription or a translation; what the server did not tell is None or empty.

    Args:
        text: All that is said.
        segments: Its passages, in the order of their starts.
        language: The language, as its ISO 639-1 code where there is one. Some servers only repeat
            the one that was asked for.
        duration: Seconds of audio that the server heard.
        billed_seconds: Seconds of audio that it counts for the bill; vLLM rounds them up.
        usage: Tokens and cost.
        request_id: The server's id of the request.
        runtime_ms: Milliseconds of inference, as the server says.
    """

    text: str
    segments: tuple[Segment, ...] = ()
    language: str | None = None
    duration: float | None = None
    billed_seconds: float | None = None
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    runtime_ms: int | None = None
