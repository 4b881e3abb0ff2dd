"""The language of documents: which it is, how it is known, and how surely."""

from typing import Any

import pytest
from langchain_core.documents import Document
from support.scripted_server import Reply, ScriptedServer
from support.transcription_calls import BUSY, LONG, PARSES, SHORT, parser_of, transcription_reply

DETECTED = {"language": "fr", "language_probability": 0.97, "language_source": "detected"}
ASSUMED = {"language": "it", "language_probability": 0.42, "language_source": "assumed"}
ASKED = {"language": "fr", "language_source": "asked"}
NAMED = {"language": "fr", "language_source": "server"}
SILENT = {"language": None, "language_probability": None, "language_source": None}
FACTS = ("language", "language_probability", "language_source")


def language_of(document: Document) -> dict[str, Any]:
    return {name: document.metadata[name] for name in FACTS if name in document.metadata}


def facts_of(*replies: Reply, **settings: Any) -> list[dict[str, Any]]:
    """Return what the documents of a recording say of the language; a reply for each chunk."""
    with ScriptedServer(*replies) as server:
        chunks = {"chunk_seconds": 11, "max_concurrency": 1} if len(replies) > 1 else {}
        made = parser_of(server, **chunks, **settings).parse(LONG if chunks else SHORT)
    return [language_of(each) for each in made]


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("facts", [DETECTED, ASSUMED, ASKED])
def test_what_a_server_tells_of_the_language_is_believed(
    facts: dict[str, Any], method: str
) -> None:
    with ScriptedServer(transcription_reply("Bonjour.", **facts)) as server:
        [made] = PARSES[method](parser_of(server, language="fr"), SHORT)
    assert language_of(made) == facts


@pytest.mark.parametrize(
    ("told", "settings", "known"),
    [
        ({}, {}, {}),
        ({}, {"language": "fr"}, ASKED),
        ({"language": "french"}, {}, NAMED),
        ({"language": "ukrainian"}, {}, NAMED | {"language": "uk"}),
        ({"language": "en"}, {"language": "fr"}, ASKED),  # some servers repeat a default
        (
            {"language": "fr", "language_probability": 0.9},
            {},
            NAMED | {"language_probability": 0.9},
        ),
        ({"language_probability": 0.9, "language_source": "detected"}, {}, {}),
    ],
)
def test_a_server_that_does_not_tell_how_it_knows_the_language_may_only_repeat_it(
    told: dict[str, Any], settings: dict[str, Any], known: dict[str, Any]
) -> None:
    assert facts_of(transcription_reply("Bonjour.", **told), **settings) == [known]


@pytest.mark.parametrize(
    "told", [1.01, -0.1, 10**400, True, "0.9", [0.9], float("nan"), float("inf"), None]
)
def test_an_impossible_probability_is_not_believed(told: object) -> None:
    [known] = facts_of(transcription_reply("Bonjour.", **DETECTED | {"language_probability": told}))
    assert known == {"language": "fr", "language_source": "detected"}


@pytest.mark.parametrize("told", ["guessed", "server", "", 1, ["detected"], {}, None])
def test_an_unknown_source_is_not_believed(told: object) -> None:
    [known] = facts_of(transcription_reply("Bonjour.", language="fr", language_source=told))
    assert known == NAMED


def test_languages_of_several_chunks_are_all_listed_with_the_lowest_probability() -> None:
    replies = [
        transcription_reply("Bonjour.", **DETECTED),
        transcription_reply("Pronto.", **ASSUMED),
        transcription_reply("Salut.", **DETECTED | {"language_probability": 0.8}),
    ]
    assert facts_of(*replies) == [
        {
            "language": "fr, it",
            "language_probability": 0.42,
            "language_source": "detected, assumed",
        }
    ]
    assert facts_of(*replies, mode="chunk") == [
        DETECTED,
        ASSUMED,
        DETECTED | {"language_probability": 0.8},
    ]


def test_a_probability_that_one_chunk_lacks_is_not_known() -> None:
    assert facts_of(
        transcription_reply("Bonjour.", **DETECTED),
        transcription_reply("Salut.", language="fr"),
        transcription_reply("Ça va?", **DETECTED),
    ) == [{"language": "fr", "language_source": "detected, server"}]


def test_chunks_without_speech_have_no_language() -> None:
    replies = [
        transcription_reply("Bonjour.", **DETECTED),
        transcription_reply("", **SILENT),
        transcription_reply("", **ASSUMED),
    ]
    assert facts_of(*replies) == [DETECTED]
    assert facts_of(*replies, mode="chunk", language="fr") == [DETECTED, {}, {}]


def test_a_chunk_that_failed_has_no_language() -> None:
    replies = [transcription_reply("Bonjour."), BUSY, transcription_reply("Salut.")]
    assert facts_of(*replies, on_error="mark", mode="chunk", language="fr") == [ASKED, {}, ASKED]


@pytest.mark.parametrize("endpoint", ["transcriptions", "native"])
def test_a_translation_is_marked_and_has_the_language_spoken(endpoint: str) -> None:
    # OpenAI's translations name the language of the text, which is always English.
    replies = [
        transcription_reply("Hello.", **DETECTED),
        transcription_reply("Hello.", language="english"),
    ]
    with ScriptedServer(*replies) as server:
        parser = parser_of(server, task="translate", endpoint=endpoint)
        [[told], [named]] = [parser.parse(SHORT) for _ in replies]
    assert (language_of(told), told.metadata["task"]) == (DETECTED, "translate")
    assert (language_of(named), named.metadata["task"]) == ({}, "translate")


def test_a_translation_of_a_language_that_was_named_has_that_language() -> None:
    [known] = facts_of(
        transcription_reply("Hello.", language="en"),
        task="translate",
        endpoint="native",
        language="fr",
    )
    assert known == ASKED
