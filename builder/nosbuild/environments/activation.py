"""A virtual environment goes in; the same, working wherever its folder lies, comes out.

The venv module writes the folder's path into ``bin/activate`` and pip into every script, but the
folder is renamed once it is whole, and packed environments lie wherever Triton unpacks them.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

_TEMPLATES = Path(__file__).parents[1] / "inside_triton" / "model_environments"
_WORKER_HOOK = Path(__file__).parents[1] / "inside_triton/server_python/sitecustomize.py"
_HOOK = "nosbuild_worker"
_SHEBANG = re.compile(rb"\A#!.*python[\d.]*\n|\A#!/bin/sh\n'''exec' .*\n' '''\n")


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
        if file.name.lower().startswith("activate"):
            file.unlink()
        elif not file.is_symlink():
            content = file.read_bytes()
            file.write_bytes(_SHEBANG.sub(b"#!/usr/bin/env python3\n", content, count=1))
    shutil.copy(_TEMPLATES / "activate", folder / "bin/activate")
    cfg = settings(python, interpreter, system_site)
    (folder / "pyvenv.cfg").write_text(cfg, encoding="utf-8")
    site_packages = folder / "lib" / f"python{python}" / "site-packages"
    # A module and a .pth file: Debian has a sitecustomize of its own, which would come first.
    shutil.copy(_WORKER_HOOK, site_packages / f"{_HOOK}.py")
    (site_packages / f"{_HOOK}.pth").write_text(f"import {_HOOK}\n", encoding="utf-8")


def settings(python: str, interpreter: Path, system_site: bool) -> str:
    """``pyvenv.cfg`` in the format of the venv module, without the folder's path."""
    return (
        f"home = {interpreter.parent}\n"
        f"include-system-site-packages = {str(system_site).lower()}\n"
        f"version = {python}\n"
    )
