"""Requests for transcriptions and translations."""

from typing import Any

import pytest

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.protocol.languages import LANGUAGES, validate_language
from langchain_voxtral.protocol.transcription_requests import (
    ResponseFormat,
    TranscriptionOptions,
    native_fields,
    openai_fields,
)

NOTHING = TranscriptionOptions(temperature=None)
ALL = TranscriptionOptions(
    task="translate",
    language="haw",
    prompt="Voxtral, vLLM",
    temperature=0.25,
    timestamps="word",
    chunk_length=30,
)


def test_the_native_form_has_every_option_by_deepinfras_names() -> None:
    assert native_fields(ALL) == [
        ("task", "translate"),
        ("initial_prompt", "Voxtral, vLLM"),
        ("temperature", "0.25"),
        ("language", "haw"),
        ("chunk_level", "word"),
        ("chunk_length_s", "30"),
    ]


def test_what_is_unset_is_not_sent() -> None:
    assert native_fields(NOTHING) == [("task", "transcribe")]
    assert openai_fields(NOTHING, model="m") == [("model", "m"), ("response_format", "json")]


def test_openais_form_has_granularities_under_both_names() -> None:
    options = TranscriptionOptions(language="fr", prompt="Ça va?", timestamps="word")
    assert openai_fields(options, model="a/b", response_format="verbose_json") == [
        ("model", "a/b"),
        ("prompt", "Ça va?"),
        ("response_format", "verbose_json"),
        ("temperature", "0.0"),
        ("language", "fr"),
        ("timestamp_granularities", "segment"),
        ("timestamp_granularities", "word"),
        ("timestamp_granularities[]", "segment"),
        ("timestamp_granularities[]", "word"),
    ]


@pytest.mark.parametrize(
    ("options", "response_format", "problem"),
    [
        (TranscriptionOptions(chunk_length=30), "json", "chunk_length=30"),
        (
            TranscriptionOptions(task="translate", language="fr"),
            "json",
            "language='fr' when translating",
        ),
        (
            TranscriptionOptions(task="translate", timestamps="segment"),
            "verbose_json",
            "timestamps='segment' when translating",
        ),
        (
            TranscriptionOptions(timestamps="word"),
            "srt",
            "timestamps='word' with response_format='srt', only with 'verbose_json'",
        ),
    ],
)
def test_an_option_that_openais_form_has_no_field_for_is_not_dropped(
    options: TranscriptionOptions, response_format: ResponseFormat, problem: str
) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        openai_fields(options, model="m", response_format=response_format)
    assert caught.value.message == (
        f"OpenAI's audio endpoints have no field for {problem}. Leave it unset, or use "
        "DeepInfra's native speech endpoint, which has one."
    )


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"task": "summarise"}, "task='summarise' is not known: give one of 'transcribe', "),
        ({"timestamps": "letter"}, "timestamps='letter' is not known: give one of 'segment', "),
        ({"temperature": -0.1}, "temperature=-0.1 must be a number from 0 on"),
        ({"temperature": float("nan")}, "temperature=nan must be a number from 0 on"),
        ({"chunk_length": 0}, "chunk_length=0 must be 1 to 30 seconds"),
        ({"chunk_length": 31}, "chunk_length=31 must be 1 to 30 seconds"),
        ({"language": ""}, "language='' is no code that speech endpoints know"),
    ],
)
def test_a_wrong_option_is_an_error_that_names_it(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        TranscriptionOptions(**wrong)
    assert caught.value.message.startswith(problem)


def test_an_unknown_response_format_is_an_error() -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="response_format='xml' is not known"):
        openai_fields(NOTHING, model="m", response_format="xml")  # type: ignore[arg-type]


def test_whispers_hundred_languages_are_known() -> None:
    assert len(LANGUAGES) == 100
    assert [validate_language(code) for code in LANGUAGES] == list(LANGUAGES)
    assert {code for code in LANGUAGES if len(code) != 2} == {"haw", "yue"}


@pytest.mark.parametrize(
    ("language", "hint"),
    [
        ("french", "(for French it is 'fr')"),
        ("Haitian Creole", "(for Haitian it is 'ht')"),
        ("EN", "(for English it is 'en')"),
        ("en-US", "(for English it is 'en')"),
        ("pt_BR", "(for Portuguese it is 'pt')"),
        ("jv", "(for Javanese it is 'jw')"),
        ("nb-NO", "(for Norwegian it is 'no')"),
        ("Portugese", "(for Portuguese it is 'pt')"),
        ("xx", "(such as 'en' or 'fr')"),
        ("", "(such as 'en' or 'fr')"),
        ("en\r\n", "(for English it is 'en')"),
    ],
)
def test_an_invalid_language_code_is_an_error_with_a_suggestion(language: str, hint: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        TranscriptionOptions(language=language)
    assert caught.value.message == (
        f"language={language!r} is no code that speech endpoints know: give the ISO 639-1 code "
        f"{hint}, or leave it unset to let the model tell the language."
    )
