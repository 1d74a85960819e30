from functools import partial

import pytest
import variants


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def publish(repository, scratch):
    """Publishes the model whose bytes bear a mark, and maybe another spec."""
    return partial(variants.publish_mark, repository, scratch)


@pytest.fixture
def model(repository):
    return repository / "m"
