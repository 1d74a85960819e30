"""Locks for the tests of environments, chosen by the real pip, and a cache folder of their own."""

import dataclasses

import pytest

from nosbuild.environments.resolving import resolve


def quiet(_):
    return None


@pytest.fixture(scope="session")
def six_and_numpy(tmp_path_factory):
    """What pip chooses for one requirement."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOSBUILD_CACHE", str(tmp_path_factory.mktemp("cache")))
        return resolve(["six==1.16.0"], on_progress=quiet)


@pytest.fixture(scope="session")
def six(six_and_numpy):
    """The same without numpy: installed within a second."""
    only = tuple(each for each in six_and_numpy.packages if each.name == "six")
    return dataclasses.replace(six_and_numpy, packages=only)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("NOSBUILD_CACHE", str(folder))
    return folder


@pytest.fixture
def offline(monkeypatch):
    """From now on pip finds nothing anywhere."""

    def cut():
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", "")
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")

    return cut
