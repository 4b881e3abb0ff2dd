"""Self-made certificates, for servers of tests that speak TLS."""

import shutil
import subprocess
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs openssl, to make a certificate"
)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the files of a key and its certificate for this name, or IP address."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    kind = "IP" if name[-1].isdecimal() else "DNS"
    subprocess.run(  # noqa: S603 - arguments of our own
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-keyout", str(key), "-out", str(certificate)),
            *("-subj", f"/CN={name}", "-addext", f"subjectAltName={kind}:{name}"),
        ],
        check=True,
        capture_output=True,
    )
    return key, certificate
