import pytest
from linear import write_linear

from nosbuild.steps import build


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def built(tmp_path_factory, cache):
    """The result of one build; its folder is to be left as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOSBUILD_CACHE", str(cache))
        return build(write_linear(tmp_path_factory.mktemp("repository") / "linear"))


@pytest.fixture(autouse=True)
def _one_cache(cache, monkeypatch):
    monkeypatch.setenv("NOSBUILD_CACHE", str(cache))


@pytest.fixture
def repository(tmp_path):
    return tmp_path / "repository"
