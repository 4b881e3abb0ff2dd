"""Memory and time to decode a long recording and cut it into pieces.

    python benchmarks/long_audio.py [HOURS] [FOLDER]

Writes speech-like noise with pauses as MP3, FLAC and WAV (44.1 kHz, stereo), streamed to disk,
and cuts each into pieces in a process of its own. Prints its peak resident memory, of which the
libraries alone, before anything is read, are the first column.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

from langchain_voxtral.audio.chunking import split_at_silence
from langchain_voxtral.audio.decoder import Recording
from langchain_voxtral.audio.mixing import import_optional

RATE = 44_100
FORMATS = {"mp3": "MPEG_LAYER_III", "flac": "PCM_16", "wav": "PCM_16"}


def write(path: Path, subtype: str, hours: float) -> None:
    """Write a recording minute by minute: noise that rises and falls, with a pause in each 10 s."""
    noise = np.random.default_rng(1)
    second = np.arange(60 * RATE) / RATE
    level = 0.1 * np.abs(np.sin(7 * second)) * (second % 10 > 0.5)  # noqa: PLR2004 - the pause
    with soundfile.SoundFile(path, "w", RATE, 2, subtype) as file:
        for _ in range(round(hours * 60)):
            mono = noise.standard_normal(len(second)) * level
            file.write(np.column_stack((mono, mono)).astype(np.float32))


def cut(path: Path) -> None:
    """Cut one recording and print its row."""
    for name in ("numpy", "soundfile", "soxr", "av"):
        import_optional(name)
    before = _peak()
    started = time.perf_counter()
    bounds = [
        (chunk.start, chunk.end)
        for chunk in split_at_silence(Recording(path), max_seconds=600, max_bytes=25_000_000)
    ]
    seconds = time.perf_counter() - started
    print(
        f"{path.suffix[1:]:5} {path.stat().st_size / 1e6:7.0f} MB {bounds[-1][1] / 3600:5.2f} h "
        f"{len(bounds):4} pieces {before:6.0f} MB {_peak():6.0f} MB {seconds:6.1f} s"
    )


def _peak() -> float:
    """Return this process's peak resident memory in MB, as Linux tells it.

    Not by `getrusage`: there a new process begins with the peak of the one that started it.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Write the recordings, then measure each in its own process."""
    hours = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else ".")  # noqa: PLR2004 - the second argument
    print("format   size  length      pieces  imports    peak    time")
    for name, subtype in FORMATS.items():
        path = folder / f"long.{name}"
        write(path, subtype, hours)
        subprocess.run([sys.executable, __file__, "--cut", str(path)], check=True)  # noqa: S603 - this file
        path.unlink()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cut"]:
        cut(Path(sys.argv[2]))
    else:
        main()
