"""Transcriptions by servers as strict as the real ones."""

import base64
import math
from typing import Any

import pytest
from support import speech_samples
from support.documented_exchanges import KEY, MODEL, Server, answering
from support.multipart_forms import parse_multipart
from support.strict_servers import SERVERS, strict
from support.strict_transcripts import STREAMED, TRANSCRIPT
from support.transcription_calls import LONG, PARSES, SHORT

from langchain_voxtral import VoxtralTranscriber, VoxtralTranscriptionParser
from langchain_voxtral.errors import VoxtralError

ENDPOINTS = {
    **{name: settings | {"endpoint": "transcriptions"} for name, settings in SERVERS.items()},
    "native": {"endpoint": "native"},
}
MODELS = {
    "mistral": "voxtral-mini-transcribe-3-0",
    "openrouter": "mistralai/voxtral-mini-transcribe-3-0",
}
WITHOUT_PROMPT = {"mistral", "openrouter"}
RECORDINGS = {
    "wav": SHORT,
    "mp3": speech_samples.encoded("mp3"),
    "webm": speech_samples.encoded("webm"),
}


def parser_at(server: Server, /, **settings: Any) -> VoxtralTranscriptionParser:
    return VoxtralTranscriptionParser(
        **{"api_key": KEY, "max_retries": 0, **server.settings, **settings}
    )


def playing(server: Server, name: str) -> None:
    server.answer = strict("deepinfra" if name == "native" else name)


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("mode", ["document", "srt"])
@pytest.mark.parametrize("form", RECORDINGS)
@pytest.mark.parametrize("name", ENDPOINTS)
def test_every_server_accepts_our_requests(
    server: Server, name: str, form: str, mode: str, method: str
) -> None:
    playing(server, name)
    [document] = PARSES[method](parser_at(server, **ENDPOINTS[name], mode=mode), RECORDINGS[form])
    assert TRANSCRIPT in document.page_content
    assert (document.page_content == TRANSCRIPT) == (mode == "document")
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("name", sorted(ENDPOINTS.keys() - WITHOUT_PROMPT))
def test_a_prompt_and_a_language_leave_it_a_transcription(
    server: Server, name: str, method: str
) -> None:
    """llama.cpp uses the prompt as its instruction."""
    playing(server, name)
    parser = parser_at(server, **ENDPOINTS[name], language="fr", prompt="Zoé, Chloé")
    [document] = PARSES[method](parser, SHORT)
    assert document.page_content == TRANSCRIPT
    assert "Zoé, Chloé" in server.request.content.decode(errors="replace")


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("task", ["transcribe", "translate"])
@pytest.mark.parametrize("name", SERVERS)
def test_every_server_accepts_our_chat_requests(
    server: Server, name: str, task: str, method: str
) -> None:
    playing(server, name)
    parser = parser_at(server, **SERVERS[name], endpoint="chat", task=task, prompt="Zoé")
    [document] = PARSES[method](parser, RECORDINGS["mp3"])
    assert document.page_content == "Two cities."


@pytest.mark.parametrize("endpoint", ["transcriptions", "native"])
def test_deepinfra_translates(server: Server, endpoint: str) -> None:
    server.answer = strict("deepinfra")
    parser = parser_at(server, endpoint=endpoint, task="translate", mode="vtt")
    [document] = parser.parse(SHORT)
    assert TRANSCRIPT in document.page_content


@pytest.mark.parametrize("name", ENDPOINTS)
def test_chunks_come_in_order(server: Server, name: str) -> None:
    playing(server, name)
    parser = parser_at(server, **ENDPOINTS[name], chunk_seconds=11, mode="chunk")
    parts = [(part.page_content, part.metadata["chunk"]) for part in parser.parse(LONG)]
    assert parts == [(TRANSCRIPT, 0), (TRANSCRIPT, 1), (TRANSCRIPT, 2)]


@pytest.mark.parametrize(
    ("name", "cost"),
    [
        ("deepinfra", {"cost": pytest.approx(2 * 0.001 / 60), "cost_source": "estimated"}),
        # Its `unknown` status has zeros for defaults.
        ("native", {"cost": pytest.approx(2 * 0.001 / 60), "cost_source": "estimated"}),
        # Its seconds at our price, and its own cost.
        ("mistral", {"cost": pytest.approx(2 * 0.0035 / 60), "cost_source": "estimated"}),
        ("openrouter", {"cost": pytest.approx(2 * 0.000058), "cost_source": "server"}),
        ("vllm", {}),
        ("llama_cpp", {}),
    ],
)
def test_an_unknown_price_is_none(server: Server, name: str, cost: dict[str, Any]) -> None:
    playing(server, name)
    [document] = parser_at(server, **ENDPOINTS[name]).parse(SHORT)
    parts = {key: document.metadata[key] for key in document.metadata if key.startswith("cost")}
    assert parts == cost
    assert document.metadata["model"] == MODELS.get(name, MODEL)


def test_seconds_that_the_server_counts_are_what_is_paid(server: Server) -> None:
    playing(server, "mistral")
    recording = speech_samples.wav_bytes(speech_samples.speech()[:40_000])  # 2.5 s
    [document] = parser_at(server, server="mistral").parse(recording)
    assert document.metadata["cost"] == pytest.approx(3 * 0.0035 / 60)


@pytest.mark.parametrize("method", PARSES)
def test_mistral_has_times_of_words_or_tells_speakers_apart(server: Server, method: str) -> None:
    playing(server, "mistral")
    words = PARSES[method](parser_at(server, server="mistral", mode="word"), SHORT)
    assert [one.page_content for one in words] == TRANSCRIPT.split()
    parser = parser_at(server, server="mistral", mode="segment", speakers=True)
    [segment] = PARSES[method](parser, SHORT)
    assert (segment.page_content, segment.metadata["speaker"]) == (TRANSCRIPT, "speaker_1")


@pytest.mark.parametrize("method", PARSES)
def test_more_fields_go_into_a_form_or_into_json(server: Server, method: str) -> None:
    playing(server, "mistral")
    extra: dict[str, Any] = {"context_bias": ["Zoé", "Chloé"]}
    PARSES[method](parser_at(server, server="mistral", model_kwargs=extra), SHORT)
    form = parse_multipart(server.request.content, server.request.headers["content-type"])
    terms = [data.decode() for name, _, _, data in form if name == "context_bias"]
    assert terms == ["Zoé", "Chloé"]
    other = Server()
    playing(other, "openrouter")
    extra = {"provider": {"options": {"mistral": {"diarize": True}}}}
    PARSES[method](parser_at(other, server="openrouter", model_kwargs=extra), SHORT)
    sent = other.body
    recording = sent.pop("input_audio")
    assert recording == {"data": base64.b64encode(SHORT).decode(), "format": "wav"}
    assert sent == {"model": MODELS["openrouter"], "temperature": 0.0, **extra}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"model_kwargs": {"prompt": "p"}}, "'prompt' is set through prompt=, not through model_k"),
        ({"model_kwargs": {"file": "f"}}, "'file' is set through the recording, not through"),
        ({"model_kwargs": {"file_url": "u"}}, "'file_url' is set through the recording, not thr"),
        ({"model_kwargs": {"boost": math.nan}}, "a bool or a list of them, not nan"),
        ({"model_kwargs": {"diarize": True}}, "'diarize' is set through speakers=, not through"),
        (
            {"model_kwargs": {"provider": {"a": 1}}},
            "'provider' of model_kwargs becomes a field of a form, which takes a text, a number,",
        ),
        ({"server": "openrouter", "model_kwargs": {"provider": {1}}}, "provider"),
        ({"server": "mistral", "prompt": "p"}, "server='mistral' takes no prompt= in transcri"),
        ({"server": "openrouter", "prompt": "p"}, "server='openrouter' takes no prompt= in tran"),
        (
            {"server": "mistral", "language": "fr", "mode": "srt"},
            "takes either language= or times (a mode that has them, timestamps=, speakers=): leave",
        ),
        ({"server": "openrouter", "timestamps": "segment"}, "does not return times of segments"),
        ({"server": "mistral", "mode": "word", "speakers": True}, "tells who speaks in segments"),
        ({"server": "openrouter", "speakers": True}, "does not return speakers"),
        ({"server": "mistral", "task": "translate"}, "cannot translate speech at an endpoint of"),
    ],
)
def test_what_a_server_has_no_field_for_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).") as caught:
        VoxtralTranscriptionParser(**settings)
    assert problem in str(caught.value)


@pytest.mark.parametrize("name", ENDPOINTS)
async def test_every_server_streams_what_it_can(server: Server, name: str) -> None:
    playing(server, name)
    transcriber = VoxtralTranscriber(parser_at(server, **ENDPOINTS[name]))
    pieces = [*transcriber.stream(SHORT)]
    assert pieces == (["Good", " morning."] if name in STREAMED else [TRANSCRIPT])
    assert [piece async for piece in transcriber.astream(SHORT)] == pieces
    segments = [*parser_at(server, **ENDPOINTS[name], mode="segment").lazy_parse(SHORT)]
    assert [segment.page_content for segment in segments] == [TRANSCRIPT]
    assert len(server.requests) == 3


@pytest.mark.parametrize("name", ["vllm", "llama_cpp"])
def test_a_self_hosted_server_needs_no_key_and_gets_none_of_deepinfras(
    server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", KEY)
    playing(server, name)
    assert (
        parser_at(server, **SERVERS[name], api_key=None).parse(SHORT)[0].page_content == TRANSCRIPT
    )
    assert "authorization" not in server.request.headers
    assert KEY.encode() not in server.request.content


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize(
    ("status", "words", "advice"),
    [
        (500, "Please install vllm[audio] for audio support", "vLLM needs vllm[audio]"),
        (501, "The current model does not support audio input.", "the model's --mmproj file"),
        (500, "Failed to load image or audio file", "send it as WAV"),
        (200, "Invalid or unsupported audio file.", "send it as WAV"),
    ],
)
def test_an_undecodable_recording_is_not_retried(
    server: Server, status: int, words: str, advice: str, method: str
) -> None:
    server.answer = lambda _: answering({"error": {"message": words}}, status)
    parser = parser_at(server, **SERVERS["vllm"], max_retries=2)
    with pytest.raises(VoxtralError) as caught:
        PARSES[method](parser, SHORT)
    assert advice in caught.value.message
    assert words in caught.value.message
    assert len(server.requests) == 1
