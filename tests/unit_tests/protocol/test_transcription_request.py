"""Requests for transcriptions and translations."""

from typing import Any

import pytest

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.protocol.languages import LANGUAGES, normalize_language
from langchain_voxtral.protocol.transcription_forms import (
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
)


def test_the_native_form_has_every_option_by_deepinfras_names() -> None:
    assert native_fields(ALL) == [
        ("task", "translate"),
        ("initial_prompt", "Voxtral, vLLM"),
        ("temperature", "0.25"),
        ("language", "haw"),
        ("chunk_level", "word"),
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
    ("options", "problem"),
    [
        (TranscriptionOptions(task="translate", language="fr"), "language='fr'"),
        (TranscriptionOptions(task="translate", timestamps="segment"), "timestamps='segment'"),
    ],
)
def test_an_option_that_openais_form_has_no_field_for_is_not_dropped(
    options: TranscriptionOptions, problem: str
) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        openai_fields(options, model="m", response_format="verbose_json")
    assert caught.value.message == (
        f"OpenAI's audio endpoints have no field for {problem} when translating. Leave it unset, "
        "or use DeepInfra's native speech endpoint, which has one (endpoint='native')."
    )


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"temperature": -0.1}, "temperature=-0.1 must be a number from 0 on"),
        ({"temperature": float("nan")}, "temperature=nan must be a number from 0 on"),
        ({"language": ""}, "language='' is not a language code"),
    ],
)
def test_a_wrong_option_is_an_error_that_names_it(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        TranscriptionOptions(**wrong)
    assert caught.value.message.startswith(problem)


def test_a_language_that_a_server_names_becomes_its_code() -> None:
    assert [normalize_language(name.lower()) for name in LANGUAGES.values()] == list(LANGUAGES)
    named = ("English", "en", "haitian creole", "Klingon")
    assert [normalize_language(name) for name in named] == ["en", "en", "ht", "Klingon"]


@pytest.mark.parametrize("language", ["en", "sv", "haw", "yue", "xx"])
def test_every_code_of_two_or_three_letters_is_sent(language: str) -> None:
    assert ("language", language) in native_fields(TranscriptionOptions(language=language))


@pytest.mark.parametrize(
    ("language", "hint"),
    [
        ("french", "(for French it is 'fr')"),
        ("EN", "(for English it is 'en')"),
        ("en-US", "(for English it is 'en')"),
        ("pt_BR", "(for Portuguese it is 'pt')"),
        ("en\r\n", "(for English it is 'en')"),
        ("nb-NO", "(such as 'en' or 'fr')"),
        ("Swedish", "(for Swedish it is 'sv')"),
        ("Klingon", "(such as 'en' or 'fr')"),
        ("", "(such as 'en' or 'fr')"),
    ],
)
def test_an_invalid_language_code_is_an_error_with_a_suggestion(language: str, hint: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        TranscriptionOptions(language=language)
    assert caught.value.message == (
        f"language={language!r} is not a language code: give the ISO 639-1 code {hint}, or leave "
        "it unset to let the model detect the language."
    )
