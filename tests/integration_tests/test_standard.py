"""LangChain's standard integration tests with the embedded engine."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from support.cassettes.format import CassetteFormat
from support.cassettes.replay import _recorder
from support.speech_samples import JFK

from langchain_voxtral import ChatVoxtral

# The run that records the stream does not measure it.
pytestmark = pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")

ENGINE = "SmolLM2-135M-Instruct"
_NO_MEDIA = "^(?!test_image|test_pdf)"
TOOLS = re.compile(f"{_NO_MEDIA}.*(tool|structured|json|agent|no_overrides)")
"""Names of the tests of tools and structured output; those of pictures in results are of media."""
TOOLS_OF_A_FORMAT = re.compile(
    rf"{_NO_MEDIA}.*(tool|agent|few_shot|structured_output\[pydantic|no_overrides)"
)
"""The same with one kind of schema: all become functions, and a format changes only those."""
STREAM = Path(__file__).parent / "cassettes" / "stream_time.yaml"


@pytest.fixture
def vcr(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Play back the stream that `test_stream_time` measures; record it if it is not there.

    In place of pytest-recording's fixture of this name: cassettes are to be readable, and the
    engine's address is another one in every run.
    """
    if request.node.get_closest_marker("vcr") is None:
        yield None
        return
    recorder = _recorder(CassetteFormat(f"embedded: {ENGINE}"))
    with recorder.use_cassette(STREAM, allow_playback_repeats=True) as cassette:
        yield cassette


@pytest.fixture(autouse=True)
def _recording_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the suite use an installed recording instead of a download."""
    speech = base64.b64encode(JFK.read_bytes()).decode()
    monkeypatch.setattr(
        "langchain_tests.integration_tests.chat_models._get_base64_from_url", lambda _url: speech
    )


class _Suite(ChatModelIntegrationTests):
    """Tests for all endpoints."""

    settings: ClassVar[dict[str, Any]]

    @property
    def chat_model_class(self) -> type[ChatVoxtral]:
        return ChatVoxtral

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"base_url": "local", "temperature": 0, "max_tokens": 120} | self.settings

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return ENGINE


class TestNativeLlama3(_Suite):
    """The whole suite with the default: a raw prompt in DeepInfra's documented format."""

    settings: ClassVar = {"prompt_format": "llama3"}

    @property
    def enable_vcr_tests(self) -> bool:
        return True


class TestNativeMistral(_Suite):
    """Tools, and one structured output, in the other prompt format."""

    settings: ClassVar = {"prompt_format": "mistral"}
    only = TOOLS_OF_A_FORMAT


class TestChatCompletions(_Suite):
    """Tools and structured output with chat completions."""

    settings: ClassVar = {"api": "chat_completions"}
    only = TOOLS
