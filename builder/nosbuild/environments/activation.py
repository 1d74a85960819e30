"""A virtual environment goes in; the same, working wherever its folder lies, comes out.

The venv module writes the folder's path into ``bin/activate`` and pip into every script, but the
folder is renamed once it is whole, and packed environments lie wherever Triton unpacks them.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from nosbuild.errors import HostError

_INSIDE_TRITON = Path(__file__).parents[1] / "inside_triton"
_ACTIVATE = _INSIDE_TRITON / "model_environments/activate"
_WORKER_HOOK = _INSIDE_TRITON / "server_python/sitecustomize.py"
_HOOK = "nosbuild_worker"
_SHEBANG = re.compile(rb"\A#!.*python[\d.]*\n|\A#!/bin/sh\n'''exec' .*\n' '''\n")


_SPECIAL = re.compile(r"[^\w@%+=:,./~#^!{}\[\]-]")


def check_readable(path: Path, remedy: str) -> None:
    """Refuse a path that Triton cannot activate: it writes it into a line of bash, unquoted
    (python_backend, src/stub_launcher.cc), and waits for a worker that never comes.

    Raises:
        HostError: with the remedy.
    """
    if found := _SPECIAL.search(str(path)):
        what = "a blank" if found[0].isspace() else found[0]
        raise HostError(
            f"{path} has {what} in its path, which Triton's Python backend cannot read", remedy
        )


def make_relocatable(
    folder: Path, python: str, interpreter: Path, system_site: bool = False
) -> None:
    """Write what depends on the folder's place anew.

    Args:
        folder: the environment.
        python: its minor version, such as ``3.11``.
        interpreter: the base interpreter.
        system_site: packages of the base interpreter are seen too.
    """
    for file in (folder / "bin").iterdir():
        if file.stem.lower() == "activate":  # one for each shell
            file.unlink()
        elif file.is_file() and not file.is_symlink():
            content = file.read_bytes()
            file.write_bytes(_SHEBANG.sub(b"#!/usr/bin/env python3\n", content, count=1))
    cfg = settings(python, interpreter, system_site)
    (folder / "pyvenv.cfg").write_text(cfg, encoding="utf-8")
    renew(folder, python)


def renew(folder: Path, python: str) -> None:
    """Write our own files in it, where they are not those of this nosbuild."""
    site_packages = folder / "lib" / f"python{python}" / "site-packages"
    for file, content in {
        folder / "bin/activate": _ACTIVATE.read_bytes(),
        # A module and a .pth file: Debian has a sitecustomize of its own, which would come first.
        site_packages / f"{_HOOK}.py": _WORKER_HOOK.read_bytes(),
        site_packages / f"{_HOOK}.pth": f"import {_HOOK}\n".encode(),
    }.items():
        if not (file.is_file() and file.read_bytes() == content):
            new = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
            new.write_bytes(content)
            new.replace(file)  # a worker may be reading the other


def settings(python: str, interpreter: Path, system_site: bool) -> str:
    """``pyvenv.cfg`` in the format of the venv module, without the folder's path."""
    return (
        f"home = {interpreter.parent}\n"
        f"include-system-site-packages = {str(system_site).lower()}\n"
        f"version = {python}\n"
    )
