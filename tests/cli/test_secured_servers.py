"""The command line before servers that ask who it is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import nosclient
from nosbuild import serve
from nosbuild.cli.option_words import in_options

CLIENT_TESTS = Path(__file__).parents[1] / "client"
NOSBUILD = Path(sys.executable).with_name("nosbuild")
SECRET = "s3cret-value"
SHORT = ("-c", "1", "--duration", "0.3", "--warmup", "0")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    sys.path.insert(0, str(CLIENT_TESTS))
    try:
        from certificates import Authority
    finally:
        sys.path.remove(str(CLIENT_TESTS))
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secured(tmp_path_factory, authority):
    """Wants a certificate of its clients over gRPC, and a key for statistics."""
    repository = tmp_path_factory.mktemp("secured") / "models"
    shutil.copytree(CLIENT_TESTS / "models/echo", repository / "echo")
    certificate, key = authority.issue("server", "IP:127.0.0.1")
    options = [
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={certificate}",
        f"--grpc-server-key={key}",
        f"--grpc-root-cert={authority.ca}",
        f"--grpc-restricted-protocol=statistics:admin-key={SECRET}",
    ]
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with serve(repository, triton_options=options, announce=False, **ports) as service:
        yield service


@pytest.fixture(scope="module")
def access(secured, authority):
    certificate, key = authority.issue("client", "DNS:client")
    files = ("--ca", authority.ca, "--cert", certificate, "--key", key)
    return (*files, "--url", f"grpcs://{secured.grpc_url}")


@pytest.mark.live
def test_commands_reach_it(access, nosbuild):
    key = ("--restricted-key", f"admin-key={SECRET}")
    done = nosbuild("run", "echo", "--random", *access)
    assert done.code == 0, done.err
    done = nosbuild("status", *access, *key, "--json")
    assert done.code == 0, done.err
    assert [row["name"] for row in done.json["models"]] == ["echo"]
    secrets = ("--header", f"x-secret={SECRET}", *key)
    page = ("--json", "--html", "page.html")
    done = nosbuild("bench", "echo", *SHORT, *access, *secrets, *page, NOSBUILD_TOKEN=SECRET)
    assert done.code == 0, done.err
    (level,) = done.json["levels"]
    assert level["answered"] == level["server"]["requests"] > 0
    assert not level["failed"]
    assert SECRET not in done.out + done.err


@pytest.mark.live
def test_the_processes_of_a_load_have_no_secret_in_their_arguments(access, tmp_path):
    arguments = ("bench", "echo", "-c", "1", "--duration", "60", "--warmup", "0", *access)
    child = subprocess.Popen(
        [NOSBUILD, *map(str, arguments), "--restricted-key", f"admin-key={SECRET}"],
        cwd=tmp_path,
        env={**os.environ, "NOSBUILD_TOKEN": "another"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stderr.readline() == "echo: 1 caller, 60 s\n"
        loads = psutil.Process(child.pid).children()
        lines = [" ".join(load.cmdline()) for load in loads]
    finally:
        child.terminate()
        child.communicate()
    assert any("load_process" in line for line in lines)
    assert not any(SECRET in line or "another" in line or ".key" in line for line in lines)


@pytest.mark.live
def test_what_is_missing_is_named_as_an_option(secured, access, authority, nosbuild):
    url = access[-2:]
    done = nosbuild("run", "echo", "--random", *url)
    assert "--ca ca.pem" in done.failed(3) + done.err
    done = nosbuild("run", "echo", "--random", "--ca", authority.ca, *url)
    assert "--cert FILE --key FILE" in done.err
    assert "TLS(" not in done.err
    done = nosbuild("status", *access)
    assert "--restricted-key admin-key=VALUE" in done.failed(3)
    done = nosbuild("run", "echo", "--random", *access, "--header", SECRET)
    assert SECRET not in done.failed(3)
    assert "--header NAME=VALUE" in done.err


def test_every_remedy_in_python_is_known():
    """Of nosclient's messages."""
    folder = Path(nosclient.__file__).parent
    for file in ("_tls_failures.py", "_error_map.py"):
        text = re.sub(r'"\s*f?"', "", (folder / file).read_text().replace("{{", "{"))
        text = text.replace("}}", "}").replace("{key!r}", "'key'")
        for python in re.findall(r"TLS\([a-z].*?\)|token=\.\.\.|restricted_keys=\{.*?\}", text):
            line = next(line for line in text.splitlines() if python in line)
            assert python not in in_options(line)
