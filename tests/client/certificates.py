"""Certificates for one test run, made with the openssl command."""

from __future__ import annotations

import subprocess
from pathlib import Path

_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder: Path, name: str = "test") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca = folder / "ca.pem"
        self._key = folder / "ca.key"
        wish = f"req -x509 {_KEY} -days 2 -subj /CN={name}"
        _openssl(*wish.split(), "-keyout", self._key, "-out", self.ca)

    def issue(self, name: str, alternatives: str, days: int = 2) -> tuple[Path, Path]:
        """A certificate and its key; one that has expired where ``days`` is negative."""
        key, request = self.folder / f"{name}.key", self.folder / f"{name}.csr"
        certificate, extensions = self.folder / f"{name}.pem", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\n")
        wish = f"req {_KEY} -subj /CN={name}"
        _openssl(*wish.split(), "-keyout", key, "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key),
            *("-CAcreateserial", "-days", days, "-extfile", extensions, "-out", certificate),
        )
        return certificate, key


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
