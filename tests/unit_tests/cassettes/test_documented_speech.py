"""The speech endpoint of DeepInfra's API page: our form has its fields, and its response is read.

The page's answer has samples of all types, and a text that is empty beside a segment that says
“Hello”. So this shows that every field is found, and nothing of what Voxtral hears.
"""

import hashlib
from typing import Any

import pytest
from langchain_core.documents import Document
from pydantic import SecretStr
from support.cassettes.replay import CASSETTES, replay
from vcr.errors import CannotOverwriteExistingCassetteException

from langchain_voxtral import VoxtralTranscriptionParser
from langchain_voxtral.providers import DEEPINFRA_URL
from langchain_voxtral.transcription.documents import Mode

CASSETTE = CASSETTES / "documented" / "speech.yaml"

# The page sends an MP3; this one is silent: 40 frames of 1152 samples, mono, 44.1 kHz.
MY_VOICE = (b"\xff\xfb\x90\xc4" + bytes(413)) * 40
SECONDS = 40 * 1152 / 44_100

METADATA: dict[str, Any] = {
    "sha256": hashlib.sha256(MY_VOICE).hexdigest(),
    "duration": SECONDS,  # ours: the page's is 0, and so is its cost, with the status "unknown"
    "n_chunks": 1,
    "start": 0.0,
    "end": SECONDS,
    "timestamps_source": "server",
    "language": "en",
    "language_source": "server",
    "cost": 1.741496598639456e-05,
    "cost_source": "estimated",
    "model": "mistralai/Voxtral-Mini-3B-2507",
    "chunks_from_store": 0,
}
DOCUMENTS: dict[Mode, Document] = {
    "segment": Document(
        "Hello", metadata=METADATA | {"chunk": 0, "segment": 0, "start": 0.0, "end": 1.0}
    ),
    "srt": Document("1\n00:00:00,000 --> 00:00:01,000\nHello\n", metadata=METADATA),
    "vtt": Document("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nHello\n", metadata=METADATA),
}


def _parser(mode: Mode, **settings: Any) -> VoxtralTranscriptionParser:
    """Return a parser whose requests have only the fields of the cassette."""
    return VoxtralTranscriptionParser(
        base_url=DEEPINFRA_URL,
        api_key=SecretStr("made-up-key"),
        mode=mode,
        **{"endpoint": "native", "temperature": None, "send_silence": True, **settings},
    )


@pytest.mark.parametrize("mode", DOCUMENTS)
def test_our_request_matches_the_documented_exchange(mode: Mode) -> None:
    with replay(CASSETTE), _parser(mode) as parser:
        assert parser.parse(MY_VOICE) == [DOCUMENTS[mode]]


@pytest.mark.parametrize("mode", DOCUMENTS)
async def test_our_async_request_matches_the_documented_exchange(mode: Mode) -> None:
    with replay(CASSETTE):
        async with _parser(mode) as parser:
            assert await parser.aparse(MY_VOICE) == [DOCUMENTS[mode]]


@pytest.mark.parametrize(
    "changed",
    [{"endpoint": "transcriptions"}, {"temperature": 0}, {"language": "en"}, {"task": "translate"}],
    ids=str,
)
def test_a_form_with_other_fields_is_refused(changed: dict[str, Any]) -> None:
    with (
        pytest.raises(CannotOverwriteExistingCassetteException),
        replay(CASSETTE),
        _parser("segment", **changed) as parser,
    ):
        parser.parse(MY_VOICE)
