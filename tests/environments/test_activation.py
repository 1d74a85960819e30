"""Scripts of an environment whose folder moves: those of venv go, those of packages stay."""

import sys
from pathlib import Path

from nosbuild.environments.activation import make_relocatable


def test_only_the_activations_of_venv_are_replaced(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "lib/python3.11/site-packages").mkdir(parents=True)
    for name in ("activate", "activate.csh", "activate.fish", "Activate.ps1"):
        (programs / name).write_text("of venv")
    (programs / "activate-something").write_text(f"#!{programs}/python3\nprint(1)\n")
    (programs / "more").mkdir()
    (programs / "program").write_bytes(b"\x7fELF\xff")
    make_relocatable(tmp_path, "3.11", Path(sys.executable))
    names = {file.name for file in programs.iterdir()}
    assert names == {"activate", "activate-something", "more", "program"}
    assert "BASH_SOURCE" in (programs / "activate").read_text()
    text = (programs / "activate-something").read_text()
    assert text == "#!/usr/bin/env python3\nprint(1)\n"
    assert (programs / "program").read_bytes() == b"\x7fELF\xff"
