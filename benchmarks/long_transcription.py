"""Memory and time to have a long recording transcribed, chunks in parallel.

    python benchmarks/long_transcription.py [HOURS] [FOLDER] [SECONDS]

Writes speech-like noise with pauses as MP3 (44.1 kHz, stereo) and gives it to the parser, by
default with all its defaults and then with one chunk at a time. The server runs in a process of
its own and takes SECONDS for a chunk: 5.5 by default, since Voxtral Mini hears 110 seconds in one
(Open ASR Leaderboard), and chunks are of about 10 minutes. Prints the peak resident memory of the
client's process, of which the libraries alone are the first column.
"""

import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from long_audio import write

from langchain_voxtral import VoxtralTranscriptionParser
from langchain_voxtral.audio.mixing import import_optional

ANSWER = b'{"text": "It was the best of times, it was the worst of times."}'
READ = 1 << 20


class Handler(BaseHTTPRequestHandler):
    """Reads a form, takes its time, and has heard the same in every chunk."""

    protocol_version = "HTTP/1.1"
    seconds = 0.0

    def do_POST(self) -> None:
        """Answer."""
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, READ)))
        time.sleep(self.seconds)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(seconds: float) -> None:
    """Print the port, and answer until the process is ended."""
    Handler.seconds = seconds
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def transcribe(path: Path, port: str, parallel: int) -> None:
    """Transcribe the recording and print its row."""
    for name in ("numpy", "soundfile", "soxr", "av"):
        import_optional(name)
    before = peak()
    parser = VoxtralTranscriptionParser(
        base_url=f"http://127.0.0.1:{port}/v1", progress=False, max_concurrency=parallel
    )
    started = time.perf_counter()
    [made] = parser.parse(path)
    seconds = time.perf_counter() - started
    facts = made.metadata
    print(
        f"{parallel:15} {facts['duration'] / 3600:5.2f} h {facts['n_chunks']:4} chunks "
        f"{before:6.0f} MB {peak():6.0f} MB {seconds:6.1f} s"
    )


def peak() -> float:
    """Return this process's peak resident memory in MB, as Linux tells it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main(hours: float = 3.0, folder: str = ".", seconds: float = 5.5) -> None:
    """Write the recording, then measure each way in its own process."""
    path = Path(folder) / "long.mp3"
    write(path, "MPEG_LAYER_III", hours)
    this = [sys.executable, __file__]
    server = subprocess.Popen([*this, "--serve", str(seconds)], stdout=subprocess.PIPE, text=True)  # noqa: S603 - this file
    try:
        port = server.stdout.readline().strip() if server.stdout else ""
        print("max_concurrency  length      chunks  imports    peak    time")
        default = VoxtralTranscriptionParser.model_fields["max_concurrency"].default
        for parallel in (default, 1):
            subprocess.run([*this, "--transcribe", str(path), port, str(parallel)], check=True)  # noqa: S603 - the same
    finally:
        server.kill()
        path.unlink()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve", seconds]:
            serve(float(seconds))
        case ["--transcribe", path, port, parallel]:
            transcribe(Path(path), port, int(parallel))
        case [hours, folder, seconds]:
            main(float(hours), folder, float(seconds))
        case [hours, folder]:
            main(float(hours), folder)
        case [hours]:
            main(float(hours))
        case _:
            main()
