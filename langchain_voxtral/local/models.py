"""Which model is served: the stand-in, or a GGUF file of the user's own."""

import os
from dataclasses import dataclass
from pathlib import Path

from langchain_voxtral.local.engine import Engine
from langchain_voxtral.local.errors import VoxtralLocalError
from langchain_voxtral.local.template import CHATML, Template, template_for
from langchain_voxtral.local.weights import SMOLLM2, ensure_weights

__all__ = ["STAND_IN", "VOXTRAL", "LocalModel", "ModelFiles", "choose_files", "load"]

VOXTRAL = "mistralai/Voxtral-Mini-3B-2507"
STAND_IN = "SmolLM2-135M-Instruct"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model, found but not loaded.

    Args:
        path: The GGUF file.
        mmproj: Its audio projector, if there is one.
    """

    path: Path
    mmproj: Path | None = None

    @property
    def is_stand_in(self) -> bool:
        """Whether this is SmolLM2 and not a model that the user chose to serve."""
        return self.path.name == SMOLLM2.file

    @property
    def name(self) -> str:
        """The real name of the model, whatever name it is asked for by."""
        return STAND_IN if self.is_stand_in else self.path.stem

    @property
    def ids(self) -> tuple[str, ...]:
        """The model ids that requests may name."""
        own = (STAND_IN, f"HuggingFaceTB/{STAND_IN}") if self.is_stand_in else (self.name,)
        return (VOXTRAL, *own)


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that is loaded.

    Args:
        name: Its real name.
        ids: The ids that requests may name.
        engine: llama.cpp with the model in it.
        template: Its prompt format.
        is_stand_in: Whether it is SmolLM2 and not a model that the user chose to serve.
    """

    name: str
    ids: tuple[str, ...]
    engine: Engine
    template: Template
    is_stand_in: bool


def choose_files(
    model: str | Path | None = None,
    mmproj: str | Path | None = None,
    *,
    progress: bool = True,
) -> ModelFiles:
    """Find the model's files, fetching the stand-in's weights if no file is named.

    Raises:
        VoxtralLocalError: A named file does not exist, or the weights cannot be had.
    """
    path = ensure_weights(progress=progress) if model is None else _existing(model, "model")
    return ModelFiles(path, None if mmproj is None else _existing(mmproj, "mmproj"))


def _existing(given: str | Path, argument: str) -> Path:
    path = Path(given).expanduser()
    if not path.is_file():
        raise VoxtralLocalError(f"{argument}={str(given)!r} is not a file; name a GGUF file.")
    return path


def load(files: ModelFiles, *, n_ctx: int, n_threads: int | None = None) -> LocalModel:
    """Load a model.

    Args:
        files: Its files.
        n_ctx: Context, in tokens.
        n_threads: Threads; by default 1 for the stand-in, all cores but one for others.

    Raises:
        VoxtralLocalError: llama.cpp cannot load it, or not on this processor.
        VoxtralMissingExtraError: xllamacpp is not installed.
    """
    threads = 1 if files.is_stand_in else max(1, (os.cpu_count() or 2) - 1)
    engine = Engine(
        files.path,
        mmproj=files.mmproj,
        n_ctx=n_ctx,
        n_threads=n_threads or threads,
        fit_memory=not files.is_stand_in,
    )
    template = CHATML if files.is_stand_in else template_for(files.path)
    return LocalModel(files.name, files.ids, engine, template, files.is_stand_in)
