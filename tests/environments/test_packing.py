"""A packed environment: the same bytes each time, and at work wherever it is unpacked."""

import dataclasses
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from nosbuild.environments.interpreters import find_interpreter
from nosbuild.environments.model_environment import model_environment
from nosbuild.environments.packing import check_container, pack
from nosbuild.errors import HostError, InputError


@pytest.fixture
def environment(cache, six):
    return model_environment(six, print)


def packed(environment, file, **options):
    return pack(environment, file, on_progress=lambda line: None, **options)


def activated(folder, command, **variables):
    return subprocess.run(
        ["bash", "-c", f"source {folder}/bin/activate && {command}"],
        env={"PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=True,
    )


def test_it_works_where_it_is_unpacked(environment, tmp_path):
    interpreter = find_interpreter()
    file = packed(environment, tmp_path / "packed", python=interpreter.executable)
    here = tmp_path / "somewhere"
    with tarfile.open(file) as archive:
        archive.extractall(here, filter="tar")
    code = "import six, sys; print(six.__file__, six.__cached__, sys.prefix)"
    source, compiled, prefix = activated(here, f"python3 -I -c '{code}'").stdout.split()
    assert source == str(here / f"lib/python{environment.locked.python}/site-packages/six.py")
    assert prefix == str(here)
    assert (here / compiled).is_file(), "Triton unpacks at every start: it comes compiled"
    assert str(environment.folder) not in (here / "bin/activate").read_text()


def test_the_same_environment_packed_twice_is_the_same_file(environment, tmp_path):
    first = packed(environment, tmp_path / "first")
    (environment.site_packages / "six.py").touch()
    assert packed(environment, tmp_path / "second").read_bytes() == first.read_bytes()
    with tarfile.open(first) as archive:
        assert archive.getmember("bin/python3").linkname == "/usr/bin/python3"
        settings = archive.extractfile("pyvenv.cfg").read().decode()
        assert {entry.mtime for entry in archive} == {315532800}
    assert "home = /usr/bin\n" in settings


def test_what_packages_install_beside_their_modules_is_packed_too(environment, tmp_path):
    library = environment.folder / "lib/libthing.so.2"  # as mkl and tbb do
    library.write_bytes(b"code")
    (environment.folder / "lib/libthing.so").symlink_to("libthing.so.2")
    with tarfile.open(packed(environment, tmp_path / "packed")) as archive:
        assert archive.extractfile("lib/libthing.so").read() == b"code"
        names = set(archive.getnames())
        absolute = {entry.name for entry in archive if entry.linkname.startswith("/")}
    assert absolute == {"bin/python3"}, "the container has a Python of its own"
    assert not {".used", "requirements.txt"} & names
    assert not [name for name in names if name.startswith(("lib/libpython", "bin/python3."))]


def test_it_takes_the_place_of_a_link(environment, tmp_path):
    place = tmp_path / "environments" / environment.key
    place.parent.mkdir()
    place.symlink_to(environment.folder)
    packed(environment, place)
    assert tarfile.is_tarfile(place) and not place.is_symlink()
    assert environment.python.exists()
    assert [each.name for each in place.parent.iterdir()] == [environment.key]


@pytest.fixture
def unpacked_by_triton():
    folder = Path(tempfile.mkdtemp(prefix="python_env_", dir="/tmp"))
    yield folder / "0"
    shutil.rmtree(folder)


def test_the_embedded_server_takes_its_own_instead(environment, tmp_path, unpacked_by_triton):
    here = unpacked_by_triton
    with tarfile.open(packed(environment, tmp_path / "packed")) as archive:
        archive.extractall(here, filter="tar")
    ours = {"NOSBUILD_ENVIRONMENTS": str(environment.folder.parent)}
    command = "echo $VIRTUAL_ENV $LD_LIBRARY_PATH"
    assert activated(here, command).stdout.split() == [str(here)]
    assert (here / "lib").is_dir()
    for _ in range(2):  # an instance each
        told = activated(here, command, LD_LIBRARY_PATH="/there", **ours).stdout.split()
        assert told == [str(environment.folder), f"{environment.folder}/lib:/there"]
        assert not (here / "lib").exists(), "Triton leaves behind what it has unpacked"
    assert environment.site_packages.is_dir()


def test_a_python_that_is_not_there_is_told_and_the_worker_starts(environment, tmp_path):
    """Were the script to fail, Triton would wait for the worker until the load times out."""
    here = tmp_path / "somewhere"
    file = packed(environment, tmp_path / "packed", python=tmp_path / "no/python3")
    with tarfile.open(file) as archive:
        archive.extractall(here, filter="tar")
    done = activated(here, "echo started")
    assert done.stdout == "started\n"
    assert f"has no {tmp_path / 'no/python3'}" in done.stderr


def test_a_container_with_another_python_is_told_before(six):
    ten = dataclasses.replace(six, python="3.10")
    check_container(ten, "24.10")
    check_container(dataclasses.replace(six, python="3.12"), "26.08")
    with pytest.raises(InputError, match=r"container has Python 3\.12") as caught:
        check_container(ten, "24.11", where="summary/model.yaml: python")
    assert caught.value.remedy == 'Write python: "3.12" in the model.yaml.'


def test_a_place_that_cannot_be_written(environment, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="cannot be written"):
        packed(environment, tmp_path / "file" / "packed")
