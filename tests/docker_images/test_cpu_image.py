"""docker/cpu.Dockerfile, really built, and really run on a model of the gallery."""

import json
import shutil
import stat
import tempfile
import time
from pathlib import Path

import buildah
import numpy as np
import pytest

import nosbuild
import nosclient
from nosbuild.runtime.environment import PACKAGES, TRITON_WHEEL

pytestmark = pytest.mark.images

LIMIT_MB = 450
COMPILERS = ("as", "c++", "cc", "clang", "cpp", "g++", "gcc", "ld", "make", "rustc", "strip")


@pytest.fixture(scope="module")
def image():
    buildah.make_base()
    buildah.build("docker/cpu.Dockerfile", buildah.IMAGE)
    return buildah.IMAGE


@pytest.fixture(scope="module")
def container(image):
    with buildah.container_of(image) as made:
        yield made


@pytest.fixture
def another(image):
    """A container in which no other test has anything."""
    with buildah.container_of(image) as made:
        yield made


@pytest.fixture(scope="module")
def open_folder():
    """As a user's own would be: others can look into it, which they cannot into pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def models(open_folder):
    """A repository on this machine."""
    nosbuild.build(buildah.PROJECT / "model_repository/minilm", open_folder / "models")
    return open_folder / "models"


@pytest.fixture(scope="module")
def served(container, models):
    with container.serving(models) as running:
        yield running


def files(container):
    """Every file of the image, as it is named in it."""
    for path in container.root.rglob("*"):
        yield "/" + str(path.relative_to(container.root)), path


def golden(models):
    for file in sorted((models / "minilm/1/golden").glob("*.npz")):
        with np.load(file) as held:
            inputs = {key[3:]: held[key][None] for key in held if key.startswith("in.")}
            yield inputs, held["out.sentence_embedding"]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_minilm_from_a_mounted_repository_answers_as_the_original(served, models, protocol):
    url = f"http://127.0.0.1:{served.http}" if protocol == "http" else f"127.0.0.1:{served.grpc}"
    compared = 0
    with nosclient.Client(url) as client:
        for inputs, expected in golden(models):
            found = client.run("minilm", inputs)["sentence_embedding"][0]
            cosine = found @ expected / (np.linalg.norm(found) * np.linalg.norm(expected))
            assert cosine >= 0.99
            compared += 1
    assert compared >= 8


def test_everything_in_it_runs_as_a_user_who_cannot_change_it(served):
    processes = served.processes()
    assert {"tini", "nosbuild", "tritonserver"} <= {one.name() for one in processes} | {
        Path(word).name for one in processes for word in one.cmdline()[:2]
    }
    assert {one.uids().effective for one in processes} == {1000}
    (server,) = [one for one in processes if one.name() == "tritonserver"]
    inside = Path(server.exe()).parent
    for place in ("/opt/nosbuild", "/usr/local/bin", "/models", str(inside), "/etc"):
        assert served.container.run("touch", f"{place}/x", check=False).returncode != 0, place


def test_it_holds_what_runs_and_nothing_that_builds(container):
    places = dict(files(container))
    assert not [name for name in places if Path(name).name in COMPILERS and "/bin/" in name]
    packages = {Path(name).name.partition("-")[0] for name in places if name.endswith(".dist-info")}
    assert {"nosbuild", "nosclient", "numpy", "onnxruntime", "nvidia_pytriton"} <= packages
    assert not packages & {"torch", "transformers", "onnx", "tensorrt", "setuptools", "hatchling"}
    assert not [
        name
        for name in places
        if "/.cache/" in name or (name.startswith("/var/lib/apt/li") and places[name].is_file())
    ]
    assert "/etc/pip.conf" not in places
    assert not [name for name in places if name.startswith("/source") or name.endswith(".whl")]
    stubs = [name for name in places if name.endswith("/triton_python_backend_stub")]
    assert not [name for name in stubs if "/3." in name and "/3.11/" not in name]


def test_nothing_in_it_gives_rights_beyond_debians_own(container):
    def is_special(path):
        return path.is_file() and not path.is_symlink() and path.stat().st_mode & stat.S_ISUID

    ours = ("/opt/", "/var/cache/", "/usr/local/")
    assert not [
        name for name, path in files(container) if name.startswith(ours) and is_special(path)
    ]


def test_it_is_small(image, container, capsys):
    size = json.loads(buildah.buildah("images", "--json", image))[0]["size"]
    blocks = sum(
        path.lstat().st_size
        for _, path in files(container)
        if not path.is_symlink() and path.is_file()
    )
    with capsys.disabled():
        print(f"\n{image}: {size}, {blocks / 1e6:.0f} MB of files")
    assert blocks < LIMIT_MB * 1e6
    number, unit = size.split()
    assert unit == "MB" and float(number) < LIMIT_MB


def test_its_labels_and_settings_tell_what_it_is(image):
    config = buildah.config_of(image)
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == nosbuild.__version__
    assert labels["org.opencontainers.image.revision"] == "test"
    assert labels["nosbuild.python"] == "3.11"
    (onnxruntime,) = [name for name in PACKAGES[3, 11] if name.startswith("onnxruntime==")]
    assert f"onnxruntime=={labels['nosbuild.onnxruntime.version']}" == onnxruntime
    assert config["User"] == "1000:1000"
    assert set(config["ExposedPorts"]) == {"8000/tcp", "8001/tcp", "8002/tcp"}
    assert config["Healthcheck"]["Test"] == ["CMD", "nosbuild-ready"]


def test_its_bill_of_materials_is_what_is_installed(container):
    place = buildah.config_of(buildah.IMAGE)["Labels"]["nosbuild.sbom"]
    document = json.loads((container.root / place.lstrip("/")).read_text())
    assert document["bomFormat"] == "CycloneDX"
    listed = {component["purl"].partition("?")[0] for component in document["components"]}
    for name, path in files(container):
        if name.endswith(".dist-info"):
            package, _, version = path.name.removesuffix(".dist-info").partition("-")
            assert f"pkg:pypi/{package.lower().replace('_', '-')}@{version}" in listed
    wheel = TRITON_WHEEL.replace("==", "@")
    assert f"pkg:pypi/{wheel}" in listed
    assert any(one.startswith("pkg:generic/nvidia/tritonserver@2.") for one in listed)
    told = container.run("dpkg-query", "--show", "--showformat", "${Package}\n").stdout.split()
    debian = {one.split("/")[2].partition("@")[0] for one in listed if one.startswith("pkg:deb/")}
    assert debian == {name.replace("+", "%2B") for name in told}


def test_it_stops_cleanly_and_at_once(another, models):
    with another.serving(models) as served:
        processes = served.processes()
        (server,) = [one for one in processes if one.name() == "tritonserver"]
        prefix = next(
            word.rpartition("=")[2] for word in server.cmdline() if "shm-region-prefix-name" in word
        )
        assert list(Path("/dev/shm").glob(f"{prefix}*"))
        assert served.stop() == 0
    deadline = time.monotonic() + 5
    while any(one.is_running() for one in processes) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [one for one in processes if one.is_running()]
    assert not list(Path("/dev/shm").glob(f"{prefix}*"))
    # Nor is anything kept where nobody looks, such as what ONNX Runtime tells its makers.
    assert not [path for path in (another.root / "home").rglob("*") if path.name == ".cache"]
    assert another.run("nosbuild-ready", check=False).returncode == 1


def test_options_after_the_image_go_to_serve_and_to_triton(another, models):
    option = "--metrics-config=summary_latencies=true"
    on_demand = ("--models", "on-demand", "--memory", "2GiB")
    with another.serving(models, *on_demand, NOSBUILD_TRITON_OPTIONS=option) as served:
        inputs, _ = next(golden(models))
        with nosclient.Client(f"127.0.0.1:{served.grpc}") as client:
            client.run("minilm", inputs)
        told = served.scrape()
    assert 'nosbuild_model_loads_total{model="minilm"} 1' in told
    assert "nv_inference_request_summary_us" in told


def refused(container, models, **variables):
    done = container.run(*buildah.entry_point(), models=models, check=False, **variables)
    assert done.returncode != 0
    return done.stderr


def test_a_repository_that_its_user_cannot_read_is_named_with_the_remedy(container, open_folder):
    closed = open_folder / "closed"
    (closed / "mine").mkdir(parents=True)
    (closed / "mine").chmod(0o700)
    said = refused(container, closed)
    assert "/models/mine cannot be read by the container's user (1000)" in said
    assert "chmod -R a+rX" in said and "--user" in said
    shutil.rmtree(closed / "mine")
    assert "no model repository is mounted there" in refused(container, closed)


def test_too_little_shared_memory_is_told_before_the_start(container, models):
    said = refused(container, models, NOSBUILD_LEAST_SHM_MIB="99999999")
    assert "/dev/shm has" in said and "--shm-size=1g" in said
