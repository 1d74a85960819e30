"""`nosbuild diff` between two versions that builds published."""

import pytest


@pytest.fixture(scope="module")
def two_versions(gallery_build, run_in, tmp_path_factory):
    """A repository in which breast_cancer has two versions, and a folder to work in."""
    _, folder = gallery_build
    repository = tmp_path_factory.mktemp("diff")
    file = folder / "model_repository/breast_cancer/model.yaml"
    text = file.read_text()
    try:
        for more in ("", "response_cache: true\n"):
            file.write_text(text + more)
            done = run_in(folder, "build", file.parent, "--repository", repository)
            assert done.code == 0, done.err
    finally:
        file.write_text(text)
    return repository


def test_the_last_two_versions(two_versions, run_in):
    done = run_in(two_versions, "diff", "breast_cancer", "--repository", two_versions)
    assert done.code == 0, done.err
    heading, first, *_ = done.out.splitlines()
    assert heading.split() == ["breast_cancer", "1", "breast_cancer", "2"]
    assert first.split() == ["model.yaml", "response_cache", "False", "True"]
    told = run_in(two_versions, "diff", "breast_cancer", "1", "2", "--json").json
    assert told["versions"] == [1, 2]
    assert [row["what"] for row in told["changes"]] == ["response_cache"]


def test_a_version_and_itself(two_versions, run_in):
    done = run_in(two_versions, "diff", "breast_cancer/1", "1")
    assert (done.code, done.out.splitlines()[0]) == (
        0,
        "nothing differs between breast_cancer 1 and breast_cancer 1",
    )


def test_a_version_that_is_not_there(two_versions, run_in):
    message = run_in(two_versions, "diff", "breast_cancer", "7").failed(3)
    assert "has no version 7" in message
    assert "Built versions are: 1, 2." in message
