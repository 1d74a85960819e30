"""Requirements and the real pip: what is locked, what is remembered, and why it fails."""

import io
import json
import tarfile

import pytest

from nosbuild.environments.interpreters import find_interpreter
from nosbuild.environments.locked import LockedEnvironment
from nosbuild.environments.resolving import resolve
from nosbuild.errors import HostError, InputError


def lock(*requirements, **options):
    said = []
    locked = resolve(requirements, on_progress=said.append, **options)
    return locked, said


def test_versions_and_hashes_are_exact_and_numpy_comes_along(six_and_numpy):
    assert [each.name for each in six_and_numpy.packages] == ["numpy", "six"]
    assert six_and_numpy.version("Six") == "1.16.0"
    assert six_and_numpy.version("numpy").startswith("1.26.")
    assert all(len(each.sha256s[0]) == 64 for each in six_and_numpy.packages)
    assert six_and_numpy.python == "{}.{}".format(*find_interpreter().minor)


def test_a_lock_survives_json_and_tells_what_was_changed(six_and_numpy):
    value = json.loads(json.dumps(six_and_numpy.as_json()))
    assert value == six_and_numpy.as_json()
    assert LockedEnvironment.from_json(value, "nos.lock") == six_and_numpy
    value["packages"][0]["version"] = "1.25.0"
    with pytest.raises(InputError, match=r"nos\.lock: .*its key is"):
        LockedEnvironment.from_json(value, "nos.lock")
    value["packages"][0]["url"] = "https://x --index-url=https://y"
    with pytest.raises(InputError, match="is no URL"):
        LockedEnvironment.from_json(value, "nos.lock")


def test_the_same_requirements_are_resolved_once_whatever_their_order(cache, offline):
    first, said = lock("iniconfig", "six>=1.16")
    assert said[0] == "Resolving iniconfig, six>=1.16"
    offline()
    assert lock(" six>=1.16 ", "iniconfig") == (first, [])
    with pytest.raises(InputError, match="No matching distribution found"):
        lock("iniconfig", "six>=1.16", fresh=True)


def test_the_lock_of_an_earlier_build_is_kept_while_it_fits(cache, offline, six_and_numpy):
    offline()
    assert lock("six==1.16.0", previous=six_and_numpy) == (six_and_numpy, [])
    with pytest.raises(InputError):  # it was for something else, so pip is asked
        lock("six", previous=six_and_numpy)


def test_what_does_not_exist_is_told_in_pips_words(cache):
    with pytest.raises(InputError) as caught:
        lock("six", "no-such-package-of-nosbuild", where="model.yaml: requirements")
    assert caught.value.message.startswith("model.yaml: requirements: pip cannot install")
    assert "No matching distribution found for no-such-package-of-nosbuild" in caught.value.message
    assert "Location" not in caught.value.message  # noise of an index
    assert "name or the version" in caught.value.remedy


def test_requirements_that_exclude_each_other_are_told_with_the_cause(cache):
    with pytest.raises(InputError) as caught:
        lock("six==1.15.0", "six==1.16.0")
    lines = [line.strip() for line in caught.value.message.splitlines()]
    assert "The user requested six==1.15.0" in lines
    assert "The user requested six==1.16.0" in lines


def test_numpy_2_is_refused_with_the_reason(cache):
    with pytest.raises(InputError, match="corrupted tensors"):
        lock("numpy>=2")


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ("six @ git+https://github.com/benjaminp/six", "version control system"),
        ("--index-url=https://example.org/simple", "is an option of pip"),
        ("six=>1", "Invalid requirement: 'six=>1'"),
    ],
)
def test_what_cannot_be_locked(cache, requirement, message):
    with pytest.raises(InputError, match=message) as caught:
        lock(requirement)
    assert caught.value.remedy


def test_a_folder_has_no_hash(cache, tmp_path):
    project = tmp_path / "mine"
    project.mkdir()
    (project / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\n')
    with pytest.raises(InputError, match="mine comes from the folder"):
        lock(f"mine @ {project.as_uri()}")


def source_archive(folder, setup):
    """A source package ``broken`` 1.0, whose setup.py is the text."""
    file = folder / "broken-1.0.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, text in {"setup.py": setup, "PKG-INFO": "Name: broken\nVersion: 1.0\n"}.items():
            entry = tarfile.TarInfo(f"broken-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return file.as_uri()


def test_an_archive_by_its_url_is_locked_with_its_hash(cache, tmp_path):
    setup = "from setuptools import setup\nsetup(name='broken', version='1.0')\n"
    url = source_archive(tmp_path, setup)
    locked, _ = lock(f"broken @ {url}")
    (package,) = (each for each in locked.packages if each.name == "broken")
    assert package.url == url
    assert package.requirement.startswith(f"broken @ {url} --hash=sha256:")


def test_a_package_that_does_not_build_is_told_by_the_end_of_its_own_output(cache, tmp_path):
    url = source_archive(tmp_path, "raise RuntimeError('no compiler for you')\n")
    with pytest.raises(HostError) as caught:
        lock(f"broken @ {url}")
    assert "did not run successfully" in caught.value.message
    assert caught.value.message.splitlines()[-1].strip() == "RuntimeError: no compiler for you"


def test_an_index_that_is_not_reached_is_the_hosts_trouble(cache, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(HostError, match="refused") as caught:
        lock("six")
    assert "network" in caught.value.remedy


def test_a_python_that_numpy_has_no_wheel_for(cache):
    with pytest.raises(InputError, match=r"Python 3\.13 cannot be had") as caught:
        lock("six", python="3.13")
    assert '"3.10", "3.11", "3.12"' in caught.value.remedy
