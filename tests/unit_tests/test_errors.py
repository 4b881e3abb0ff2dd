"""Errors: one class for each kind of failure, in LangChain's hierarchy, through pickles."""

import copy
import pickle
from typing import Any

import pytest
from langchain_core import exceptions as core

from langchain_voxtral import errors

TREE: dict[str, tuple[type[Exception], bool]] = {
    "VoxtralError": (core.ModelError, False),
    "VoxtralAuthenticationError": (core.ModelAuthenticationError, False),
    "VoxtralBudgetExceededError": (core.ModelError, False),
    "VoxtralPermissionDeniedError": (core.ModelPermissionDeniedError, False),
    "VoxtralPaymentRequiredError": (core.ModelPermissionDeniedError, False),
    "VoxtralInvalidRequestError": (core.ModelInvalidRequestError, False),
    "VoxtralUnsupportedFeatureError": (core.ModelInvalidRequestError, False),
    "VoxtralContextOverflowError": (core.ContextOverflowError, False),
    "VoxtralNotFoundError": (core.ModelNotFoundError, False),
    "VoxtralRateLimitError": (core.ModelRateLimitError, True),
    "VoxtralAPIError": (core.ModelAPIError, True),
    "VoxtralResponseError": (core.ModelAPIError, False),
    "VoxtralConnectionError": (core.ModelConnectionError, True),
    "VoxtralIncompleteStreamError": (core.ModelConnectionError, True),
    "VoxtralTimeoutError": (core.ModelTimeoutError, True),
    "VoxtralAudioError": (core.ModelInvalidRequestError, False),
    "VoxtralTruncatedAudioError": (core.ModelInvalidRequestError, False),
    "VoxtralMissingAudioExtraError": (ImportError, False),
    "VoxtralLocalError": (core.ModelError, False),
    "VoxtralMissingExtraError": (ImportError, False),
}
KINDS = [getattr(errors, name) for name in TREE]
FACTS: dict[str, Any] = {
    "status_code": 429,
    "request_id": "R1",
    "attempts": 3,
    "retry_after": 2.5,
    "partial": "Hello",
    "usage": {"output_tokens": 2},
}


def test_the_table_names_every_class() -> None:
    assert sorted(errors.__all__) == sorted([*TREE, "redact"])


@pytest.mark.parametrize(("name", "place"), TREE.items())
def test_each_class_has_its_place_in_langchains_hierarchy(
    name: str, place: tuple[type[Exception], bool]
) -> None:
    kind = getattr(errors, name)
    parent, retryable = place
    assert issubclass(kind, parent)
    assert issubclass(kind, errors.VoxtralError)
    assert kind("x").is_retryable is retryable


def test_a_bad_request_is_a_value_error_too() -> None:
    assert issubclass(errors.VoxtralInvalidRequestError, ValueError)


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, "Busy."),
        ({"status_code": 429}, "Busy. (status 429)"),
        ({"attempts": 1}, "Busy."),
        (FACTS, "Busy. (status 429, request id R1, 3 attempts)"),
    ],
)
def test_the_text_is_the_message_and_what_identifies_the_request(
    facts: dict[str, Any], text: str
) -> None:
    assert str(errors.VoxtralRateLimitError("Busy.", **facts)) == text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "duplicate",
    [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy],  # noqa: S301
)
def test_a_copy_of_an_error_is_complete(kind: type[errors.VoxtralError], duplicate: Any) -> None:
    error = errors.with_facts(kind("Busy.", **FACTS), message="Very busy.")
    error.add_note("a note")
    twin = duplicate(error)
    assert type(twin) is kind
    assert vars(twin) == {"message": "Very busy.", "__notes__": ["a note"], **FACTS}
    assert str(twin) == str(error) == "Very busy. (status 429, request id R1, 3 attempts)"


def test_having_sets_later_fields() -> None:
    error = errors.VoxtralAPIError("Failed.")
    assert errors.with_facts(error, request_id="R2", partial="Hel") is error
    assert (error.request_id, error.partial) == ("R2", "Hel")


@pytest.mark.parametrize(
    ("text", "secrets", "redacted"),
    [
        ("a key k1 and k1", ["k1"], "a key [redacted] and [redacted]"),
        ("k1 k2", ["k1", "k2"], "[redacted] [redacted]"),
        ("k1", [None, ""], "k1"),
        ("abc-123", ["abc", "abc-123"], "[redacted]"),
    ],
)
def test_redact_replaces_every_secret(text: str, secrets: list[str | None], redacted: str) -> None:
    assert errors.redact(text, secrets) == redacted
