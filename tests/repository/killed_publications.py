"""Kills one publication after another, each one file operation later than the one before.

A script: prints how many were killed, and how many of those had published already.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from variants import make_variant, publish_variant, write_spec

from nosbuild.repository.check import check_repository
from nosbuild.repository.config import read_config
from nosbuild.repository.layout import ModelFolder

_OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.copyfile")


def main(repository: Path, scratch: Path) -> None:
    spec = write_spec(repository)
    first, second = (make_variant(scratch, spec, mark) for mark in ("first", "second"))
    publish_variant(first, spec, repository)
    shutil.copytree(repository, scratch / "start")
    killed = served_new = 0
    while True:
        shutil.rmtree(repository)
        shutil.copytree(scratch / "start", repository)
        if not _killed(killed, lambda: publish_variant(second, spec, repository)):
            break
        killed += 1
        served_new += _served(repository) == [2]
        assert _served(repository) in ([1], [2])
        errors = [f for f in check_repository(repository) if f.severity == "error"]
        assert not errors, errors
        # The next build of the same ends the work and leaves nothing behind.
        assert publish_variant(second, spec, repository).version == 2
        assert _served(repository) == [2]
        assert ModelFolder(repository / "m").versions() == [1, 2]
        assert not check_repository(repository)
    print(killed, served_new)


def _served(repository: Path) -> list[int]:
    return list(read_config(repository / "m/config.pbtxt").version_policy.specific.versions)


def _killed(survives: int, publication) -> bool:
    """Run it in a fork that dies before its operation number ``survives``."""
    pid = os.fork()
    if pid == 0:
        left = survives

        def count(event: str, arguments: object) -> None:
            nonlocal left
            if event in _OPERATIONS:
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

        code = 1
        try:
            sys.addaudithook(count)
            publication()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
