"""The examples of the documents print what stands below them."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(
    r"^```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```$", re.DOTALL | re.MULTILINE
)
"""A block of Python, and the block of text that follows at once."""
PAGES = {
    path: EXAMPLE.findall(path.read_text(encoding="utf-8"))
    for path in sorted(ROOT.glob("docs/*.md"))
}
EXAMPLES = {
    f"{path.stem}-{number}": example
    for path, examples in PAGES.items()
    for number, example in enumerate(examples)
}
MIN_SIMILARITY = 0.4
"""Of 1, for equal words. Those of the small model depend a little on the processor, and on what the
same engine has answered before."""


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo what an example does to loggers, which other tests of this process read."""
    loggers = [
        logging.getLogger(name) for name in ("", "langchain_voxtral", "langchain_voxtral.local")
    ]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers


def run_with_ray(code: str) -> str:
    """Return what an example prints in a process of its own, with which its Ray ends."""
    start = "import ray; ray.init(address='local', num_cpus=2, object_store_memory=2 * 10**8)\n"
    command = [sys.executable, "-c", start + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        pytest.param(*example, id=name, marks=[pytest.mark.ray] * ("import ray" in example[0]))
        for name, example in EXAMPLES.items()
    ],
)
def test_an_example_prints_what_stands_below_it(
    code: str,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # some examples write files
    Path("tests").symlink_to(ROOT / "tests")
    for name in ("MISTRAL", "OPENROUTER"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)  # an example shows the error of none
    if "import ray" in code:
        shown = run_with_ray(code)
    else:
        exec(code, {"__name__": "__main__"})  # noqa: S102 - an example of ours
        shown = capsys.readouterr().out
    assert SequenceMatcher(None, printed.split(), shown.split()).ratio() >= MIN_SIMILARITY, shown


def test_the_page_in_the_order_of_langchains_runs_from_top_to_bottom(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DEEPINFRA_API_TOKEN", "a-key-that-is-not-asked-for")
    page = (ROOT / "docs" / "integration.md").read_text(encoding="utf-8")
    names = {"__name__": "__main__"}
    for code in re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        exec(code, names)  # noqa: S102 - examples of ours, of which the later use the earlier
    shown = capsys.readouterr().out
    assert "Tokyo" in shown
    assert "'city': 'Paris'" in shown
    assert "name='Anna' age=31" in shown
