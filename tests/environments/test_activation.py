"""Scripts of an environment whose folder moves: those of venv go, those of packages stay."""

import subprocess
import sys
from pathlib import Path

import pytest

from nosbuild.environments.activation import check_readable, make_relocatable
from nosbuild.errors import HostError


@pytest.mark.parametrize(("name", "told"), [("a b", "a blank"), ("a&b", "&"), ("it's", "'")])
def test_paths_that_are_no_word_of_bash(name, told):
    with pytest.raises(HostError, match=f"/{name}/x has {told} in its path"):
        check_readable(Path("/models", name, "x"), "")


@pytest.mark.parametrize("name", ["models", "modèles", "a~1", "a.b-c_d+e", "a#b", "a{b}"])
def test_paths_that_are(name):
    path = Path("/models", name)
    check_readable(path, "")
    done = subprocess.run(
        ["bash", "-c", f"printf %s {path}"], capture_output=True, text=True, check=True
    )
    assert done.stdout == str(path)


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
