"""What `transcribe` reports of a recording beside its text."""

from pathlib import Path
from typing import Any

import pytest

from langchain_voxtral.cli.summary import describe_result

FILE = Path("a.txt")


def facts(language: str, source: str, probability: float | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"language": language, "language_source": source, "n_chunks": 1}
    return metadata | ({} if probability is None else {"language_probability": probability})


@pytest.mark.parametrize(
    ("metadata", "target", "line"),
    [
        ({}, None, ""),
        ({}, FILE, "wrote a.txt"),
        ({"no_speech": True}, None, "no speech was found"),
        (
            {"no_speech": True, "silent": True},
            FILE,
            "no speech was found (silent, so not sent); wrote a.txt",
        ),
        (facts("fr", "detected", 0.9712), FILE, "French (detected, probability 0.97); wrote a.txt"),
        (facts("it", "assumed", 0.42), None, "Italian (assumed, probability 0.42)"),
        (facts("en", "assumed"), None, "English (assumed)"),
        (facts("fr", "asked"), None, ""),
        (facts("fr", "asked") | {"chunks_from_store": 0}, None, ""),
        ({"chunks_from_store": 2, "n_chunks": 3}, None, "2 of 3 chunks were there already"),
        (facts("fr", "server"), None, ""),
        (
            facts("fr, xx", "detected, assumed", 0.42) | {"n_chunks": 2},
            None,
            "French, xx (detected, assumed, probability 0.42 or more)",
        ),
    ],
)
def test_a_line_says_what_is_to_be_known_beside_the_text(
    metadata: dict[str, Any], target: Path | None, line: str
) -> None:
    assert describe_result(metadata, target) == line
