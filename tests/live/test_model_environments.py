"""Models with packages of their own, served by a real Triton: side by side, linked and packed."""

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import nosclient
from nosbuild.environments.interpreters import SUPPORTED, Interpreter, examine, find_interpreter
from nosbuild.environments.model_environment import model_environment, resolve
from nosbuild.environments.packing import CONTAINER_PYTHON, pack
from nosbuild.errors import HostError
from nosbuild.repository.lock import Lock, write_lock
from nosbuild.runtime import serve, server_environment
from nosbuild.runtime.ports import Ports, choose_ports
from nosbuild.store.hashing import sha256_of_file

NOSBUILD = Path(sys.executable).with_name("nosbuild")
CODE = """
import sys

import numpy as np
import six
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        told = [six.__version__, six.__file__, "{}.{}".format(*sys.version_info), sys.prefix]
        answer = pb_utils.Tensor("told", np.array([each.encode() for each in told], dtype=object))
        return [pb_utils.InferenceResponse([answer]) for _ in requests]
"""
CONFIG = """
backend: "python"
input {{ name: "x" data_type: TYPE_FP32 dims: 1 }}
output {{ name: "told" data_type: TYPE_STRING dims: 4 }}
version_policy {{ specific {{ versions: 1 }} }}
instance_group {{ count: 1 kind: KIND_CPU }}
parameters {{
  key: "EXECUTION_ENV_PATH"
  value {{ string_value: "$$TRITON_MODEL_DIRECTORY/environments/{key}" }}
}}
"""


def quiet(_):
    return None


def model(repository, name, locked):
    """A version as a build publishes it, with what serving reads of its lock."""
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(CODE)
    (folder.parent / "config.pbtxt").write_text(CONFIG.format(key=locked.key))
    write_lock(
        Lock(
            model=name,
            version=1,
            variant="python",
            backend="python",
            details={"environment": locked.as_json()},
            identity="",
            spec_digest="",
            artifact={"model.py": sha256_of_file(folder / "model.py")},
            interface="",
            config_sha256="",
            steps={},
            read={},
            libraries={},
            host={},
            proof={},
            nosbuild="",
        ),
        folder / "nos.lock",
    )
    return folder.parent


def told(client, name):
    answer = client.run(name, {"x": np.zeros(1, np.float32)})["told"]
    six, file, python, prefix = (text.decode() for text in answer)
    return {"six": six, "file": file, "python": python, "prefix": prefix}


@pytest.fixture(scope="module")
def old():
    return resolve(["six==1.15.0"], on_progress=quiet)


@pytest.fixture(scope="module")
def new():
    return resolve(["six==1.16.0"], on_progress=quiet)


@pytest.fixture(scope="module")
def of_another_python():
    for minor in SUPPORTED:
        if minor != find_interpreter().minor:
            try:
                find_interpreter(minor)
            except HostError:
                continue
            return resolve(["six==1.16.0"], python="{}.{}".format(*minor), on_progress=quiet)
    return None


@pytest.fixture(scope="module")
def theirs(new):
    """The Python of a container: this machine's own, where that is of the same minor version."""
    found = examine(CONTAINER_PYTHON)
    if isinstance(found, Interpreter) and found.minor == new.minor:
        return found
    return find_interpreter(new.minor)


@pytest.fixture(scope="module")
def archive(tmp_path_factory, new, theirs):
    file = tmp_path_factory.mktemp("packed") / new.key
    environment = model_environment(new, quiet)
    return pack(environment, file, python=theirs.executable, on_progress=quiet)


def test_a_repository_that_bash_cannot_read_is_refused_at_once(tmp_path, new):
    model(tmp_path / "my models", "new", new)
    with pytest.raises(HostError, match="models/new has a blank in its path"):
        serve(tmp_path / "my models", announce=False)


def put(archive, model):
    (model / "environments").mkdir()
    shutil.copy(archive, model / "environments")


@pytest.fixture(scope="module")
def repository(tmp_path_factory, old, new, of_another_python, archive):
    folder = tmp_path_factory.mktemp("repository")
    model(folder, "old", old)
    model(folder, "new", new)
    put(archive, model(folder, "packed", new))
    if of_another_python:
        model(folder, "other", of_another_python)
    return folder


@pytest.fixture(scope="module")
def served(repository):
    with serve(repository) as service:
        yield service


@pytest.fixture(scope="module")
def client(served):
    with served.client() as made:
        yield made


def test_two_versions_of_one_package_are_served_at_the_same_time(client, old, new):
    first, second = told(client, "old"), told(client, "new")
    assert (first["six"], second["six"]) == ("1.15.0", "1.16.0")
    assert (Path(first["prefix"]).name, Path(second["prefix"]).name) == (old.key, new.key)
    assert first["file"].startswith(first["prefix"])


def test_another_python_than_the_servers(client, repository, of_another_python):
    if of_another_python is None:
        pytest.skip("this machine has one Python only")
    assert (repository / "other/triton_python_backend_stub").is_symlink()
    answer = told(client, "other")
    assert answer["python"] == of_another_python.python
    assert Path(answer["prefix"]).name == of_another_python.key


def test_a_packed_environment_is_served_by_the_same_one_of_the_cache(client, repository, new):
    assert not (repository / "packed/environments" / new.key).is_symlink()
    assert told(client, "packed")["prefix"] == told(client, "new")["prefix"]


def command(*arguments):
    done = subprocess.run(
        [NOSBUILD, *arguments, "--json"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_what_a_server_uses_is_listed_and_stays(client, repository, old, new):
    rows = {row["key"]: row for row in command("env", "ls", str(repository))}
    assert rows[old.key]["models"] == ["old"]
    assert rows[new.key]["models"] == ["new", "packed"]
    assert rows[new.key]["state"] == "in use"
    assert rows[new.key]["locked"]["packages"] == new.as_json()["packages"]
    goes = command("env", "prune", "--all", "--dry-run")["environments"]
    assert not {old.key, new.key} & set(goes)


def test_a_link_that_is_gone_comes_back_at_load(served, client, repository, old):
    shutil.rmtree(repository / "old/environments")
    served.load_model("old")
    assert told(client, "old")["six"] == "1.15.0"
    (repository / "old/environments/stale").symlink_to("/nowhere")
    command = [NOSBUILD, "load", "old", "--url", served.grpc_url]  # others may serve here, too
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "old is loaded" in done.stdout
    assert [each.name for each in (repository / "old/environments").iterdir()] == [old.key]


def test_the_worker_holds_its_environment_itself(served, client, new):
    """So it stays for a server that nobody of nosbuild has started, too."""
    used = told(client, "new")["prefix"] + "/.used"
    holders = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(descriptor.readlink()) == used:
                holders.add(descriptor.parts[2])
        except OSError:
            continue  # a process that ended meanwhile
    workers = {pid for pid in holders if "python_backend_stub" in command_line(pid)}
    assert workers, f"held by {holders}"


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_an_environment_that_cannot_be_made(tmp_path, new):
    model(tmp_path, "well", new)
    model(tmp_path, "foreign", dataclasses.replace(new, platform="linux-riscv64"))
    with pytest.raises(HostError, match=r"model 'foreign': .* locked for linux-riscv64"):
        serve(tmp_path)
    with serve(tmp_path, keep_going=True) as service:
        assert service.models() == ["well"]
        assert "locked for linux-riscv64" in service.failures["foreign"]


def test_a_triton_that_knows_nothing_of_nosbuild_takes_the_packed_one(
    tmp_path, new, archive, theirs
):
    """As in a container: its own Python on PATH, no cache, no link."""
    server = server_environment(quiet)
    put(archive, model(tmp_path, "packed", new))
    libraries = tmp_path.parent / f"{tmp_path.name}-lib"
    libraries.mkdir()
    (libraries / theirs.library.name).symlink_to(theirs.library)
    ports = choose_ports("127.0.0.1", Ports(0, 0, 0))
    log = (tmp_path.parent / f"{tmp_path.name}.log").open("w")
    triton = subprocess.Popen(
        [
            server.tritonserver,
            f"--model-repository={tmp_path}",
            f"--backend-directory={server.backends}",
            f"--http-port={ports.http}",
            f"--grpc-port={ports.grpc}",
            f"--metrics-port={ports.metrics}",
            "--grpc-address=127.0.0.1",
            "--http-address=127.0.0.1",
            "--metrics-address=127.0.0.1",
            "--exit-timeout-secs=5",
        ],
        env={
            "PATH": f"{theirs.executable.parent}:/usr/bin:/bin",
            "LD_LIBRARY_PATH": f"{libraries}:{server.folder}/triton/nvidia_pytriton.libs",
        },
        stdout=log,
        stderr=log,
    )
    answer = None
    try:
        with nosclient.Client(f"127.0.0.1:{ports.grpc}") as client:
            answer = first_answer(client, triton, Path(log.name))
        assert answer["six"] == "1.16.0"
        assert answer["prefix"].startswith("/tmp/python_env_")
        assert answer["file"].startswith(answer["prefix"])
    finally:
        triton.terminate()
        triton.wait()
        if answer:
            shutil.rmtree(Path(answer["prefix"]).parent, ignore_errors=True)
        log.close()


def first_answer(client, triton, log):
    while True:
        try:
            return told(client, "packed")
        except (nosclient.ServerUnavailable, nosclient.ModelNotFound):
            assert triton.poll() is None, log.read_text()
            time.sleep(0.2)
