"""A user whom the machine does not know, as containers have them, and without $HOME."""

import pytest

from nosbuild.environments.interpreters import find_interpreter
from nosbuild.errors import HostError
from nosbuild.store.folders import cache_folder


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    for name in ("HOME", "NOSBUILD_CACHE", "XDG_CACHE_HOME", "PYENV_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


def test_an_interpreter_is_found():
    assert find_interpreter().library.is_file()


def test_the_cache_needs_a_name(monkeypatch, tmp_path):
    with pytest.raises(HostError, match="home directory") as caught:
        cache_folder()
    assert "NOSBUILD_CACHE" in caught.value.remedy
    monkeypatch.setenv("NOSBUILD_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
