"""A server in a "container" has the face of an embedded one, and what fails says what to do."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from add_one_model import write_add_one
from speaking_model import write_speaks

import nosbuild as nb
from nosbuild.errors import HostError, InputError, RepositoryError, RequestError
from nosbuild.runtime.docker.images import default_image, how_to_build
from nosbuild.runtime.docker.owner import OWNER, this_process
from nosbuild.runtime.service_record import running_services
from nosbuild.version import VERSION

pytestmark = pytest.mark.live
FREE = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}


def serve(repository, options=None, **more):
    return nb.serve(
        repository, runtime="docker", container=options or nb.ContainerOptions(), **FREE, **more
    )


def only(engine):
    (container,) = engine.containers.values()
    return container


def test_it_serves_loads_unloads_and_leaves_nothing(engine, repository):
    told = []
    with serve(repository, models=["adds"], on_progress=told.append) as service:
        assert isinstance(service, nb.InferenceService)
        assert service.models() == ["adds"]
        with service.client() as client:
            answer = client.run("adds", {"x": np.ones((2, 4), np.float32)})
        np.testing.assert_array_equal(answer["y"], np.full((2, 4), 2, np.float32))
        (record,) = [each for each in running_services() if each.container == service.name]
        assert record.grpc_url == service.grpc_url and record.repository == str(repository)
        service.load_model("also")
        assert service.models() == ["adds", "also"]
        service.unload_model("adds")
        assert service.models() == ["also"]
        with pytest.raises(RepositoryError, match="has no model 'adss'"):
            service.load_model("adss")
        assert service.is_running
        log = service.log_file
        assert "Started HTTPService" in log.read_text()
    assert not service.is_running
    assert only(engine).removed
    assert only(engine).process.returncode == 0
    assert not log.exists()
    assert "Loading adds" in told
    assert not [each for each in running_services() if each.container == service.name]


def test_what_the_engine_is_asked_for(engine, repository, monkeypatch, tmp_path):
    certificates = tmp_path / "certificates.crt"
    certificates.touch()
    monkeypatch.setenv("PIP_CERT", str(certificates))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "none.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    options = nb.ContainerOptions(name="my-models", shm_size="300MiB", user="1234:5")
    with serve(repository, options, on_demand=True, memory="1GiB", models=["adds"]):
        body = only(engine).body
    host = body["HostConfig"]
    assert body["Cmd"][:2] == ["--json", "--verbose"]
    assert "--models on-demand --memory 1GiB" in " ".join(body["Cmd"])
    assert only(engine).name == "my-models"
    assert body["User"] == "1234:5"
    assert body["Labels"]["nosbuild.repository"] == str(repository)
    assert body["Labels"]["nosbuild.version"] == VERSION
    assert body["Labels"][OWNER] == this_process()
    assert host["ShmSize"] == 300 * 2**20
    assert host["Mounts"] == [
        {"Target": target, "Source": source, "Type": "bind", "ReadOnly": True}
        for target, source in (("/models", str(repository)), (str(certificates),) * 2)
    ]
    assert f"PIP_CERT={certificates}" in body["Env"]
    assert "PIP_INDEX_URL=https://packages.example/simple" in body["Env"]
    assert not any(each.startswith("PIP_CONFIG_FILE") for each in body["Env"])
    assert {key: binding[0]["HostIp"] for key, binding in host["PortBindings"].items()} == {
        "8000/tcp": "127.0.0.1",
        "8001/tcp": "127.0.0.1",
        "8002/tcp": "127.0.0.1",
    }
    assert not host.get("DeviceRequests") and not host.get("Ulimits")


def test_gpus_and_shared_memory_of_the_machine(engine, repository):
    engine.add_image(default_image(gpu=True))
    engine.command = [sys.executable, "-c", "print('no server')"]
    with pytest.raises(HostError, match="ended with code 0"):
        serve(repository, nb.ContainerOptions(gpus="device=0,2", ipc="host"))
    host = only(engine).body["HostConfig"]
    assert only(engine).body["Image"] == f"sha256:{default_image(gpu=True)}"
    assert host["DeviceRequests"][0]["DeviceIDs"] == ["0", "2"]
    assert host["IpcMode"] == "host"
    assert {limit["Name"]: limit["Soft"] for limit in host["Ulimits"]} == {
        "memlock": -1,
        "stack": 64 * 2**20,
    }


def test_environments_are_linked_in_a_folder_of_the_containers_own(engine, repository):
    write_speaks(repository / "speaks")
    start, seen = engine.start, []

    def look(container):
        folder = Path(container.body["Labels"]["nosbuild.links"]) / "speaks"
        seen.append((folder, folder.stat().st_mode & 0o7777))
        start(container)

    engine.start = look
    engine.command = [sys.executable, "-c", "print('no server')"]
    with pytest.raises(HostError, match="ended with code 0"):
        serve(repository)
    ((folder, mode),) = seen
    mounts = {mount["Target"]: mount for mount in only(engine).body["HostConfig"]["Mounts"]}
    assert mounts["/models/speaks/environments"]["Source"] == str(folder)
    assert not mounts["/models/speaks/environments"]["ReadOnly"]
    assert mode == 0o1777
    assert not folder.parent.exists()
    (repository / "speaks/environments/1").write_bytes(b"packed, which is not hidden")
    engine.start = start
    with pytest.raises(HostError, match="ended with code 0"):
        serve(repository)
    (_, second) = engine.containers.values()
    assert "nosbuild.links" not in second.body["Labels"]


def test_nothing_is_served_in_place_of_what_was_asked_for(engine, repository):
    write_add_one(repository / "newest", opset=99)
    with pytest.raises(RepositoryError, match="opset 99"):
        serve(repository, models=["newest"], keep_going=True)
    assert not engine.containers


def test_a_detached_container_outlives_its_context(engine, repository):
    options = nb.ContainerOptions(detach=True, restart="unless-stopped")
    with serve(repository, options) as service:
        pass
    try:
        assert service.is_running
        assert service.models() == ["adds", "also"]
        assert only(engine).body["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        assert OWNER not in only(engine).body["Labels"]
    finally:
        service.stop()
    assert not service.is_running


def test_the_end_of_the_server_is_told(engine, repository):
    with serve(repository) as service:
        with pytest.raises(subprocess.TimeoutExpired):
            service.wait(0.2)
        only(engine).process.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0


SCRIPT = """
import json, sys, time
import nosbuild
free = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
with nosbuild.serve(sys.argv[1], runtime="docker", models=["adds"], **free) as service:
    print(json.dumps({"pid": service.pid}), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def starter(engine, repository):
    """Another process that serves."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(repository)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    assert line, process.stderr.read()
    yield process, json.loads(line)["pid"]
    process.kill()
    process.communicate()


def gone(pid):
    try:
        psutil.wait_procs([psutil.Process(pid)], timeout=60)
    except psutil.NoSuchProcess:
        return True
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def removed(container):
    deadline = time.monotonic() + 60
    while not container.removed and time.monotonic() < deadline:
        time.sleep(0.05)
    return container.removed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda each: each.name)
def test_it_ends_with_the_process_that_started_it(engine, starter, number):
    process, _ = starter
    process.send_signal(number)
    process.wait(60)
    assert removed(only(engine))
    assert only(engine).process.wait(60) == 0, "it was not stopped, but killed"


def test_what_was_left_is_removed_at_the_next_start(engine, starter, repository):
    process, _ = starter
    left = only(engine)
    for child in psutil.Process(process.pid).children():
        child.kill()  # its guard
    process.kill()
    process.wait()
    assert left.process.poll() is None
    told = []
    with serve(repository, models=["adds"], on_progress=told.append):
        assert left.removed
    assert f"Removing the container {left.name}, which an earlier nosbuild serve left" in told


def test_what_other_processes_serve_is_not_removed(engine, starter, repository):
    with serve(repository, models=["adds"]):
        first, second = engine.containers.values()
        assert not first.removed and not second.removed


def test_what_the_container_says_is_raised_here(engine, repository):
    (repository / "adds/1/model.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(RepositoryError, match=r"in the container: .*did not load") as caught:
        serve(repository)
    assert "model 'adds'" in caught.value.message
    assert only(engine).removed


def test_the_others_are_served_with_keep_going(engine, repository):
    (repository / "adds/1/model.onnx").write_bytes(b"\x08\x08")
    write_add_one(repository / "newest", opset=99)
    with serve(repository, keep_going=True) as service:
        assert service.models() == ["also"]
        assert set(service.failures) == {"adds", "newest"}
        assert "opset 99" in service.failures["newest"]


def test_what_an_image_prints_before(engine, repository):
    start = engine.start

    def with_banner(container):
        start(container)
        with (container.folder / "stdout").open("ab") as out:
            out.write(b"=== Triton {Inference} Server ===\nLicense: }\n")

    engine.start = with_banner
    with serve(repository, models=["adds"]) as service:
        assert service.models() == ["adds"]


def test_a_container_without_memory(engine, repository):
    engine.command = [sys.executable, "-c", "import sys; sys.exit('last words')"]
    create = engine.start

    def start(container):
        create(container)
        container.oom = True

    engine.start = start
    with pytest.raises(HostError, match="because it was out of memory") as caught:
        serve(repository)
    assert "last words" in caught.value.message


def test_an_image_that_is_not_here_is_pulled_with_progress(engine, repository):
    engine.images.clear()
    name = default_image(gpu=False)
    tag = name.rpartition(":")[2]
    layer = {"id": "a1", "status": "Downloading"}
    engine.pulls[name] = [
        {"status": "Pulling from nosbuild/server", "id": tag},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "a1"},
        {"status": "Already exists", "progressDetail": {}, "id": "a2"},
        *({**layer, "progressDetail": {"current": n * 10**6, "total": 10**8}} for n in range(100)),
        {"status": "Pull complete", "progressDetail": {}, "id": "a1"},
        {"status": "Digest: sha256:12"},
        {"status": f"Status: Downloaded newer image for {name}"},
    ]
    told = []
    with serve(repository, models=["adds"], on_progress=told.append) as service:
        assert service.models() == ["adds"]
    pulled = [line for line in told if line.startswith("Pulling")]
    assert f"Pulling {name}: 1 of 2 layers, 50% of 100 MB" in pulled
    assert pulled[-1] == f"Pulling {name}: 2 of 2 layers, 100% of 100 MB"
    assert len(pulled) < 20


def test_an_image_of_ours_that_cannot_be_pulled_can_be_built(engine, repository):
    engine.images.clear()
    with pytest.raises(HostError, match="pull access denied") as caught:
        serve(repository)
    assert f"docker build -f docker/cpu.Dockerfile -t {default_image(False)} ." in (
        caught.value.remedy
    )
    assert how_to_build("registry:5000/nosbuild/server:gpu-1") == (
        "docker build -f docker/gpu.Dockerfile -t registry:5000/nosbuild/server:gpu-1 ."
    )


def test_an_image_of_others_that_cannot_be_pulled(engine, repository):
    with pytest.raises(HostError, match="has no image private/app:1") as caught:
        serve(repository, nb.ContainerOptions(image="private/app:1"))
    assert "docker login" in caught.value.remedy
    engine.pulls["private/app:1"] = [
        {"status": "Pulling from private/app", "id": "1"},
        {"errorDetail": {"message": "unexpected EOF"}, "error": "unexpected EOF"},
    ]
    with pytest.raises(HostError, match="cannot pull it: unexpected EOF"):
        serve(repository, nb.ContainerOptions(image="private/app:1"))


REFUSALS = {
    "toolkit": (
        'could not select device driver "" with capabilities: [[gpu]]',
        "has no NVIDIA Container Toolkit",
        "Install it",
    ),
    "driver": (
        "failed to create task for container: failed to create shim task: OCI runtime create "
        "failed: runc create failed: unable to start container process: error during container "
        "init: error running hook #0: error running hook: exit status 1, stdout: , stderr: Auto-"
        "detected mode as 'legacy'\nnvidia-container-cli: initialization error: nvml error: driver "
        "not loaded: unknown",
        "cannot use the GPU",
        "nvidia-smi",
    ),
    "port": (
        "driver failed programming external connectivity on endpoint x (5b8c): Bind for "
        "127.0.0.1:8000 failed: port is already allocated",
        "port 8000 is taken",
        "Choose another one",
    ),
    "limits": (
        "failed to create task for container: error setting rlimits for ready process: error "
        "setting rlimit type 8: operation not permitted: unknown",
        "may not raise the container's limits",
        "LimitMEMLOCK",
    ),
    "space": (
        "write /var/lib/docker/tmp/x: no space left on device",
        "no space left",
        "docker system prune",
    ),
    "other": ("something new", "refuses to start the container: something new", "runtimes"),
}


@pytest.mark.parametrize("words, message, remedy", REFUSALS.values(), ids=REFUSALS)
def test_what_the_engine_refuses(engine, repository, words, message, remedy):
    engine.refuses["/start"] = (500, words)
    with pytest.raises(HostError, match=message) as caught:
        serve(repository)
    assert remedy in caught.value.remedy
    assert engine.containers and all(each.removed for each in engine.containers.values())


def test_a_port_that_is_lost_to_another_is_chosen_anew(engine, repository):
    engine.refuses["/start"] = (500, REFUSALS["port"][0])
    asked = []

    def stop_refusing(line):
        asked.append(line)
        if sum("Starting the container" in each for each in asked) == 2:
            engine.refuses.clear()

    with serve(repository, models=["adds"], on_progress=stop_refusing) as it:
        assert it.models() == ["adds"]
    assert [each.removed for each in engine.containers.values()] == [True, True]


def test_a_port_in_use_is_named_before_anything_starts(engine, repository):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HostError, match=f"port {port} on 127.0.0.1 is in use"):
            nb.serve(repository, runtime="docker", http_port=port)
    assert not engine.containers


def test_a_repository_that_the_containers_user_cannot_read(engine, repository):
    (repository / "adds/1/model.onnx").chmod(0o600)
    with pytest.raises(HostError, match="runs as user 1000 and cannot read") as caught:
        serve(repository)
    assert str(repository / "adds/1/model.onnx") in caught.value.message
    assert caught.value.remedy == f"chmod -R a+rX {repository}"
    (repository / "adds/1/model.onnx").chmod(0o644)
    engine.info["SecurityOptions"] = ["name=rootless"]
    (repository / "adds").chmod(0o700)
    with pytest.raises(HostError, match="of a rootless engine"):
        serve(repository)
    assert not engine.containers


def test_a_user_who_owns_the_files_may_read_them(engine, repository):
    for path in (repository, *repository.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    owner = f"{os.getuid()}:{os.getgid()}"
    with serve(repository, nb.ContainerOptions(user=owner), models=["adds"]) as service:
        assert service.models() == ["adds"]


def test_links_that_lead_out_of_the_repository(engine, repository, tmp_path):
    weights = tmp_path / "weights.onnx"
    (repository / "adds/1/model.onnx").rename(weights)
    (repository / "adds/1/model.onnx").symlink_to(weights)
    with pytest.raises(RepositoryError, match=r"which a container on .* does not see"):
        serve(repository)


def test_too_little_shared_memory(engine, repository):
    write_add_one(repository / "many", instances=20)
    with pytest.raises(HostError, match="too little for 22 workers") as caught:
        serve(repository, nb.ContainerOptions(shm_size="64MiB"))
    assert caught.value.remedy == "Write --shm-size 110MiB, or more."
    assert not engine.containers


@pytest.mark.parametrize(
    "options, message",
    [
        ({"restart": "always"}, "ends with what started it"),
        ({"restart": "sometimes", "detach": True}, "restart is 'sometimes'"),
        ({"gpus": "some"}, "gpus is 'some'"),
        ({"shm_size": "big"}, "big"),
        ({"shm_size": 0}, "shm_size is 0"),
        ({"ipc": "shared"}, "ipc is 'shared'"),
    ],
    ids=str,
)
def test_options_that_cannot_be(engine, repository, options, message):
    with pytest.raises(InputError, match=message):
        serve(repository, nb.ContainerOptions(**options))


def test_arguments_of_the_other_runtime(repository):
    with pytest.raises(RequestError, match="takes no load_timeout, response_cache"):
        nb.serve(repository, runtime="docker", load_timeout=1.0, response_cache=False)
    with pytest.raises(RequestError, match="http-port is set by nosbuild"):
        nb.serve(repository, runtime="docker", triton_options=["--http-port=1"])
    with pytest.raises(RequestError, match="container= is for a container"):
        nb.serve(repository, container=nb.ContainerOptions())
    with pytest.raises(RequestError, match="runtime is 'cloud'"):
        nb.serve(repository, runtime="cloud")


def test_the_command_line(engine, repository, nosbuild):
    ran = nosbuild("serve", str(repository), "--gpus", "all")
    assert ran.returncode == 3 and "runtime" in ran.stderr
    engine.images.clear()
    ran = nosbuild("serve", str(repository), "--runtime", "docker")
    assert ran.returncode == 5
    assert "docker build -f docker/cpu.Dockerfile" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_runtimes(engine, nosbuild):
    ran = nosbuild("runtimes", "--json")
    found = {row["name"]: row for row in json.loads(ran.stdout)}
    assert list(found) == ["embedded", "docker-cpu", "docker-gpu"]
    assert found["embedded"]["can_run"]
    assert found["docker-cpu"]["can_run"]
    missing = [row for row in found["docker-gpu"]["found"] if not row["ok"]]
    assert "image" in [row["what"] for row in missing]
    assert all(row["remedy"] for row in missing)
    engine.images.clear()
    text = nosbuild("runtimes").stdout
    assert f"{default_image(gpu=False)} is not here" in text.replace("\n", " ")


def test_detached_from_the_command_line(engine, repository, nosbuild):
    ports = [f"--{name}-port=0" for name in ("http", "grpc", "metrics")]
    asked = ["serve", str(repository), "--runtime", "docker", "--detach", "--json", *ports]
    ran = nosbuild(*asked)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = json.loads(ran.stdout)
    container = only(engine)
    assert told["container"] == container.name
    assert container.process.poll() is None
    assert Path(told["log_file"]).exists()
    assert container.body["Cmd"][-1] == "--update"
    ran = nosbuild("load", "adds", "--url", told["grpc_url"])
    assert (ran.returncode, ran.stdout) == (0, "adds is loaded\n"), ran.stderr
