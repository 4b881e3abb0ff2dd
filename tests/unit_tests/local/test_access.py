"""Request bodies, addresses, processors and files of the embedded server."""

import socket
from pathlib import Path

import pytest

from langchain_voxtral.cli import main
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.local import LocalVoxtral, VoxtralLocalError
from langchain_voxtral.local.api.access import accepted_hosts, host_name, listen, url_host
from langchain_voxtral.local.engine.llama import missing_cpu_flags
from langchain_voxtral.local.models import TextModel


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:8200", "localhost"),
        ("LOCALHOST", "localhost"),
        ("[::1]:8200", "::1"),
        ("evil.example:8200", "evil.example"),
        ("", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    assert host_name(header) == name


def test_only_loopback_and_the_configured_name_are_accepted() -> None:
    assert accepted_hosts("127.0.0.1") == frozenset({"localhost", "127.0.0.1", "::1"})
    assert accepted_hosts("Box.lan") == frozenset({"localhost", "127.0.0.1", "::1", "box.lan"})
    assert accepted_hosts("::") is None
    assert url_host("::1") == "[::1]"


def test_another_machine_needs_a_key() -> None:
    with pytest.raises(VoxtralInvalidRequestError, match=r"host='192\.0\.2\.1'.*api_key"):
        LocalVoxtral(host="192.0.2.1", api_key="")


def test_a_key_is_random_or_given_and_never_shown() -> None:
    server, other = LocalVoxtral(), LocalVoxtral()
    assert len(server.api_key) > 30
    assert server.api_key != other.api_key
    assert repr(LocalVoxtral(api_key="k3y")) == "LocalVoxtral(stopped)"
    assert LocalVoxtral(api_key="").api_key == ""


def test_a_stopped_server_raises() -> None:
    with pytest.raises(VoxtralLocalError, match="call start"):
        _ = LocalVoxtral().base_url


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(VoxtralLocalError, match=f"port {port}"):
            listen("127.0.0.1", port)


CPU = "processor : 0\nvendor_id : X\nflags : fpu sse2 {flags}\nprocessor : 1\nflags : fpu\n"


@pytest.mark.parametrize(
    ("cpuinfo", "lacking"),
    [
        (CPU.format(flags="avx2 fma"), []),
        (CPU.format(flags="avx"), ["avx2", "fma"]),
        (CPU.format(flags="fma avx2_fake"), ["avx2"]),
        ("", []),
    ],
)
def test_what_the_processor_lacks(cpuinfo: str, lacking: list[str]) -> None:
    assert missing_cpu_flags(cpuinfo) == lacking


def test_the_engine_accepts_voxtrals_name_and_its_own() -> None:
    model = TextModel("SmolLM2-135M-Instruct.Q4_1.gguf")
    assert model.name == "SmolLM2-135M-Instruct"
    assert model.ids == (
        "mistralai/Voxtral-Mini-3B-2507",
        "SmolLM2-135M-Instruct",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    )


def test_a_custom_model_accepts_voxtrals_name_and_its_files() -> None:
    model = TextModel("dir/Voxtral-Mini-Q4.gguf")
    assert model.name == "Voxtral-Mini-Q4"
    assert model.ids == ("mistralai/Voxtral-Mini-3B-2507", "Voxtral-Mini-Q4")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(VoxtralLocalError, match=r"model='nope\.gguf' is not a file"):
        TextModel("nope.gguf").load()


def test_a_wrong_speech_model_is_refused_by_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["serve", "--speech-model", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"langchain-voxtral: --speech-model {tmp_path} is a folder without model.bin, "
        "config.json, tokenizer.json. Name one that has a model for CTranslate2: model.bin, "
        "config.json, tokenizer.json.\n"
    )


def test_an_audio_projector_is_refused_with_the_server_that_takes_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = tmp_path / "voxtral.gguf"
    model.write_bytes(b"GGUF")
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--model", str(model), "--mmproj", "mmproj.gguf"])
    assert caught.value.code == 2
    assert "llama-server --model X --mmproj Y" in capsys.readouterr().err
