"""What can be imported, and what an import loads."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import langchain_voxtral

ROOT = Path(langchain_voxtral.__file__).parent.parent
HEAVY = {
    "langchain",
    "langgraph",
    "mistral_common",
    "numpy",
    "starlette",
    "tiktoken",
    "torch",
    "transformers",
    "uvicorn",
    "xllamacpp",
}
NOT_FOR_TEXT = {
    "langchain_voxtral.audio.decoder",
    "langchain_voxtral.output_parsers",
    "langchain_voxtral.protocol.transcription",
}


def loaded_by(*statements: str) -> list[set[str]]:
    """Return the modules in a new interpreter after each statement."""
    report = "print(json.dumps(sorted(sys.modules)))"
    script = "\n".join(["import json, sys", *(f"{one}\n{report}" for one in statements)])
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return [set(json.loads(line)) for line in done.stdout.splitlines()]


def test_the_public_names() -> None:
    assert langchain_voxtral.__all__ == [
        "ChatVoxtral",
        "VoxtralLLM",
        "VoxtralTranscriber",
        "VoxtralTranscriptionLoader",
        "VoxtralTranscriptionParser",
        "VoxtralUsage",
        "VoxtralUsageCallbackHandler",
        "__version__",
        "audio_block",
        "describe_audio",
        "get_voxtral_usage_callback",
        "register",
        "transcribe_audio_tool",
    ]
    assert dir(langchain_voxtral) == langchain_voxtral.__all__
    for name in langchain_voxtral.__all__:
        assert getattr(langchain_voxtral, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'langchain_voxtral' has no attribute 'Chat'"):
        langchain_voxtral.Chat  # noqa: B018 - the access is the test


def test_the_package_alone_loads_nothing() -> None:
    [loaded] = loaded_by("import langchain_voxtral; langchain_voxtral.__version__")
    assert loaded.isdisjoint({"langchain_core", "httpx", "pydantic", *HEAVY})


@pytest.mark.parametrize(
    ("name", "not_needed"),
    [
        ("ChatVoxtral", HEAVY | NOT_FOR_TEXT),
        ("VoxtralLLM", HEAVY | NOT_FOR_TEXT),
        ("VoxtralTranscriptionParser", HEAVY),
    ],
)
def test_a_class_loads_no_engine_no_framework_and_nothing_for_others(
    name: str, not_needed: set[str]
) -> None:
    imported, made = loaded_by(f"from langchain_voxtral import {name}", f"{name}(base_url='local')")
    assert imported >= {"langchain_core", "httpx"}
    assert imported.isdisjoint(not_needed)
    # What reads recordings is loaded with the first object, not within a call.
    assert made.isdisjoint(not_needed - {"langchain_voxtral.audio.decoder"})


def test_the_package_is_typed() -> None:
    assert (ROOT / "langchain_voxtral" / "py.typed").is_file()


def test_the_version_is_that_of_the_installed_package() -> None:
    try:
        installed = version("langchain-voxtral")
    except PackageNotFoundError:
        pytest.skip("runs from a source tree that is not installed")
    assert langchain_voxtral.__version__ == installed


def test_the_base_needs_three_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = sorted(need.partition(">")[0] for need in project["dependencies"])
    assert names == ["httpx", "langchain-core", "pydantic"]
