"""Without the extra."""

import sys

import pytest

from langchain_voxtral.errors import VoxtralMissingExtraError


@pytest.mark.parametrize("library", ["ray", "ray.data", "pyarrow.fs"])
def test_the_error_says_what_to_install(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("langchain_voxtral.ray")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    with pytest.raises(
        VoxtralMissingExtraError, match=r'pip install "langchain-voxtral\[ray\]"'
    ) as info:
        import langchain_voxtral.ray  # noqa: PLC0415, F401
    assert library in str(info.value)
