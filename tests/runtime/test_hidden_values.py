"""What the list of processes shows of a process that was given secrets."""

import subprocess
import sys

import psutil

from nosbuild.runtime.hidden_values import hide_values
from nosbuild.runtime.restrictions import words_with_keys

PROGRAM = "import sys; print(sys.argv[1:], flush=True); sys.stdin.read()"
OPTIONS = ["--api=a,b:key=geheim", "--path=/geheim", "--other=k=geheim"]


def test_the_values_are_gone_and_nothing_else_is():
    command = [sys.executable, "-c", PROGRAM, *OPTIONS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        one.stdout.readline()  # it has read them
        assert psutil.Process(one.pid).cmdline() == command
        assert hide_values(one.pid, OPTIONS[:1])
        hidden = "--api=a,b:key=******"
        assert psutil.Process(one.pid).cmdline() == [*command[:3], hidden, *OPTIONS[1:]]
        assert hide_values(one.pid, OPTIONS[:1]), "again is harmless"
        assert hide_values(one.pid, ["--not-there=x"])
        one.stdin.close()
    assert one.returncode == 0
    assert not hide_values(one.pid, OPTIONS), "no such process"


def test_all_words_that_hold_a_key_are_found():
    options = [
        "--http-restricted-api=health,metadata:own=geheim",
        "--grpc-restricted-protocol",
        "model-repository:own=more=geheim",
        "--http-restricted-api=nothing",
        "--log-verbose=1",
    ]
    assert words_with_keys(options) == [options[0], options[2]]
