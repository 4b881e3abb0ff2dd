"""Which model is served: the stand-in, or a GGUF file of the user's own."""

import os
from dataclasses import dataclass
from pathlib import Path

from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local.engine.llama import Engine
from langchain_voxtral.local.prompting.chat_template import CHATML, Template, template_for
from langchain_voxtral.local.weights import SMOLLM2, ensure_weights

__all__ = ["STAND_IN", "VOXTRAL", "LocalModel", "ModelFile", "choose_file", "load"]

VOXTRAL = "mistralai/Voxtral-Mini-3B-2507"
STAND_IN = "SmolLM2-135M-Instruct"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The file of a model, found but not loaded.

    Args:
        path: The GGUF file.
    """

    path: Path

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


def choose_file(
    model: str | Path | None = None,
    *,
    progress: bool = True,
) -> ModelFile:
    """Find the model's file, fetching the stand-in's weights if none is named.

    Raises:
        VoxtralLocalError: A named file does not exist, or the weights cannot be had.
    """
    if model is None:
        return ModelFile(ensure_weights(progress=progress))
    path = Path(model).expanduser()
    if not path.is_file():
        raise VoxtralLocalError(f"model={str(model)!r} is not a file; name a GGUF file.")
    return ModelFile(path)


def load(file: ModelFile, *, n_ctx: int, n_threads: int | None = None) -> LocalModel:
    """Load a model.

    Args:
        file: Its file.
        n_ctx: Context, in tokens.
        n_threads: Threads; by default 1 for the stand-in, all cores but one for others.

    Raises:
        VoxtralLocalError: llama.cpp cannot load it, or not on this processor.
        VoxtralMissingExtraError: xllamacpp is not installed.
    """
    threads = 1 if file.is_stand_in else max(1, (os.cpu_count() or 2) - 1)
    engine = Engine(
        file.path,
        n_ctx=n_ctx,
        n_threads=n_threads or threads,
        fit_memory=not file.is_stand_in,
    )
    template = CHATML if file.is_stand_in else template_for(file.path)
    return LocalModel(file.name, file.ids, engine, template, file.is_stand_in)
