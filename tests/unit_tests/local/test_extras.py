"""The embedded engine without its libraries."""

import subprocess
import sys

import pytest

from langchain_voxtral import local

WITHOUT_EXTRAS = """
import sys
loaded = dict(sys.modules)
for library in {libraries!r}:
    sys.modules |= {{library: None, library + ".applications": None}}
    import langchain_voxtral.local as local
    try:
        local.LocalVoxtral(model={model!r}).start()
    except ImportError as error:
        print(type(error).__name__, error)
    # The next library is missed by a package that is imported anew.
    for name in set(sys.modules) - set(loaded):
        if name.startswith(("langchain_voxtral", *{libraries!r})):
            del sys.modules[name]
"""
LIBRARIES = ("xllamacpp", "starlette", "uvicorn", "jsonschema")


def test_the_public_names_are_those_that_are_listed() -> None:
    assert {name: hasattr(local, name) for name in local.__all__} == dict.fromkeys(
        local.__all__, True
    )
    assert set(local.__all__) <= set(dir(local))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Remote'"):
        _ = local.Remote


def test_a_missing_library_is_named_with_the_way_to_install_it() -> None:
    """The model's file exists, so only the library is missing."""
    program = WITHOUT_EXTRAS.format(libraries=LIBRARIES, model=__file__)
    done = subprocess.run(  # noqa: S603 - a program of this file
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        f"VoxtralMissingExtraError The embedded engine needs {library}, which is not installed: "
        'pip install "langchain-voxtral[local]"'
        for library in LIBRARIES
    ]


def test_a_recording_asks_for_the_extra_that_is_enough_for_it() -> None:
    """Without any library of the engine: `local` alone would fail again."""
    program = """
import sys
sys.modules["starlette"] = sys.modules["faster_whisper"] = None
from langchain_voxtral.connection import resolve_local
for speech in (False, True):
    try:
        resolve_local(speech=speech)
    except ImportError as error:
        print(error)
"""
    done = subprocess.run(  # noqa: S603 - a program of this file
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "The embedded engine needs starlette, which is not installed: "
        'pip install "langchain-voxtral[local]"\n'
        "The embedded engine needs starlette for recordings, which is not installed: "
        'pip install "langchain-voxtral[local-speech]"\n'
    )
