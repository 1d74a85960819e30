"""An image with models inside: what is sent to the engine, and what is refused."""

import io
import json
import os
import tarfile

import pytest
from add_one_model import write_add_one
from speaking_model import write_speaks

from nosbuild.errors import HostError, InputError, RepositoryError
from nosbuild.runtime.docker.context import tar_stream
from nosbuild.runtime.docker.images import default_image
from nosbuild.runtime.docker.packaging import package


def sent(engine):
    """Name -> content of what was sent to be built."""
    with tarfile.open(fileobj=io.BytesIO(engine.built[-1])) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive}


def test_the_models_go_with_the_image(engine, repository):
    (repository / "adds/model.yaml").write_text("name: adds")
    (repository / "adds/.publish.lock").touch()
    (repository / "adds/2").mkdir()
    (repository / "adds/2/model.onnx").write_bytes(b"not served")
    with (repository / "adds/config.pbtxt").open("a") as config:
        config.write("version_policy { specific { versions: 1 } }")
    told = []
    made = package(repository, ["adds"], tag="registry/app:1", on_progress=told.append)
    files = sent(engine)
    assert set(files) == {
        "Dockerfile",
        "models/adds/config.pbtxt",
        "models/adds/1/model.onnx",
    }
    assert files["models/adds/1/model.onnx"] == (repository / "adds/1/model.onnx").read_bytes()
    assert files["Dockerfile"].decode().splitlines() == [
        f"FROM {default_image(gpu=False)}",
        "COPY --chown=1000:1000 models /models",
    ]
    labels = engine.images["registry/app:1"]["Labels"]
    assert labels["nosbuild.repository.models"] == "adds:1"
    assert labels["nosbuild.repository.lock"] == made.lock
    assert made.models == ("adds",) and made.size_bytes == 123_000_000
    assert "Step 2/2 : COPY models /models" in told


def test_environments_are_made_while_it_is_built(engine, repository, monkeypatch):
    for name in [name for name in os.environ if name.upper().endswith(("_PROXY", "_INDEX_URL"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    write_speaks(repository / "speaks")
    package(repository, None, tag="app:1")
    lines = sent(engine)["Dockerfile"].decode().splitlines()
    assert lines[-2:] == ["ARG PIP_INDEX_URL", 'RUN ["nosbuild", "env", "make", "/models"]']
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@packages.example/simple")
    with pytest.raises(HostError, match="PIP_INDEX_URL holds a password") as caught:
        package(repository, None, tag="app:1")
    assert "secret" not in str(caught.value)
    assert "--pack" in caught.value.remedy
    assert package(repository, ["adds"], tag="app:1"), "for which nothing is installed"


def test_packed_environments_go_with_the_image(engine, repository):
    from nosbuild.environments.locked import LockedEnvironment

    folder = write_speaks(repository / "speaks")
    key = LockedEnvironment("3.12", "linux-x86_64", False, ()).key
    (folder / "environments").mkdir()
    (folder / "environments" / key).write_bytes(b"packed")
    package(repository, ["speaks"], tag="app:1")
    assert sent(engine)[f"models/speaks/environments/{key}"] == b"packed"
    assert "RUN" not in sent(engine)["Dockerfile"].decode()


def test_the_same_models_are_the_same_stream(repository, tmp_path):
    files = {"models/a": repository / "adds/1/model.onnx"}
    os.utime(files["models/a"], (1, 1))
    first = b"".join(tar_stream({"Dockerfile": "FROM x"}, files))
    os.utime(files["models/a"], (2, 2))
    assert b"".join(tar_stream({"Dockerfile": "FROM x"}, files)) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert archive.getnames() == ["Dockerfile", "models/a"]


def test_a_large_file_is_not_held_in_memory(tmp_path):
    file = tmp_path / "weights"
    with file.open("wb") as sparse:
        sparse.truncate(5 << 30)
    largest = total = 0
    for piece in tar_stream({}, {"models/weights": file}):
        largest, total = max(largest, len(piece)), total + len(piece)
        if total > 64 << 20:
            break
    assert largest <= 1 << 20


def test_what_the_engine_says_of_a_build_that_fails(engine, repository):
    engine.refuses["POST /build"] = (500, "write /var/lib/docker/x: no space left on device")
    with pytest.raises(HostError, match="no space left"):
        package(repository, None, tag="app:1")


@pytest.mark.parametrize("tag", ["App:1", "app:", "a b", ""])
def test_names_that_no_image_can_have(engine, repository, tag):
    with pytest.raises(InputError, match="is no name of an image"):
        package(repository, None, tag=tag)


def test_models_that_the_image_cannot_load(engine, repository):
    write_add_one(repository / "newest", opset=99)
    with pytest.raises(RepositoryError, match="opset 99"):
        package(repository, None, tag="app:1")
    assert package(repository, ["also"], tag="localhost:5000/my/app:1.0").models == ("also",)


def test_the_command_line(engine, repository, nosbuild):
    ran = nosbuild("package", "adds", "-r", str(repository), "--tag", "app:1", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["models"] == ["adds"]
    ran = nosbuild("package", "-r", str(repository))
    assert ran.returncode == 3 and "--tag registry/app:1" in ran.stderr
    ran = nosbuild("package", "-r", str(repository), "--tag", "app:1", "--image", "none:1")
    assert ran.returncode == 5 and "cannot pull it" in ran.stderr
