"""Ids of tool calls in the format of Mistral's templates."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langchain_voxtral.tools.call_ids import new_call_id, to_mistral_call_id


@given(st.from_regex(r"[A-Za-z0-9]{9}", fullmatch=True))
def test_valid_ids_stay_as_they_are(call_id: str) -> None:
    assert to_mistral_call_id(call_id) == call_id


@given(st.text(st.characters()))
@example("\ud800")
def test_any_id_becomes_nine_letters_and_digits_once_and_for_all(call_id: str) -> None:
    mapped = to_mistral_call_id(call_id)
    assert re.fullmatch(r"[A-Za-z0-9]{9}", mapped)
    assert to_mistral_call_id(mapped) == mapped


@pytest.mark.parametrize(
    ("call_id", "mapped"),
    [
        # The first nine base 62 digits (0-9, a-z, A-Z) of the SHA-256, worked out by hand.
        ("call_8Yx2mQ", "bEdjymAQt"),
        ("", "RZwTDmWjE"),
        ("abcdef12\n", "b2wXXNC5I"),
        ("abcdef12é", "3YmUVllGn"),
    ],
)
def test_foreign_ids_are_hashed(call_id: str, mapped: str) -> None:
    assert to_mistral_call_id(call_id) == mapped


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_different_ids_stay_different(ids: list[str]) -> None:
    assert to_mistral_call_id(ids[0]) != to_mistral_call_id(ids[1])


def test_new_ids_are_nine_letters_and_digits_and_never_the_same() -> None:
    ids = {new_call_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9]{9}", call_id) for call_id in ids)
