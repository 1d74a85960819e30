"""What a running server works with is never pruned."""

import json
import subprocess
import sys
from pathlib import Path

NOSBUILD = Path(sys.executable).with_name("nosbuild")


def cache(*arguments):
    command = [NOSBUILD, "cache", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["server_files"]


def test_its_environment_backends_and_log_stay(service):
    used = {row["path"] for row in cache("ls") if row["state"] == "in use"}
    assert str(service.log_file) in used
    kinds = {row["kind"] for row in cache("ls") if row["path"] in used}
    assert kinds >= {"server environment", "server backends", "log"}
    goes = {row["path"] for row in cache("prune", "--all", "--dry-run")}
    assert not used & goes
