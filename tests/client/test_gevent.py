"""A program whose threads gevent has made greenlets: none of them is held up by another's call."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("gevent", reason="gevent is not installed (tritonclient's http extra has it)")
pytestmark = pytest.mark.live

PATCH = "from gevent import monkey; monkey.patch_all()\n"
IMPORT = "from nosclient import Client, NosClientError\n"
PROGRAM = """
import sys
import gevent

client = Client(sys.argv[1], deadline=30)
slow = client.model("slow")
ticks = 0

def tick():
    global ticks
    while True:
        gevent.sleep(0.01)
        ticks += 1

def goes_on(work):
    # Whether others have their turn while this one waits; a hang is ended by the timeout.
    before = ticks
    with gevent.Timeout(60):
        found = work()
    return found, ticks > before + 3

def side_by_side():
    calls = [gevent.spawn(client.run, "echo", {"int8": [[n]]}) for n in range(50)]
    return sum(each.get()["int8_out"].item() for each in gevent.joinall(calls))

def late():
    try:
        client.model("slow", deadline=0.3)(1.5)
    except NosClientError as error:
        return type(error).__name__

gevent.spawn(tick)
print(goes_on(lambda: slow(0.25).item()))
print(goes_on(lambda: slow.submit(0.25).result().item()))
print(goes_on(lambda: len(list(slow.map([0.1] * 4)))))
print(goes_on(late))
print(side_by_side())
if client._settings.addresses[0].is_grpc:
    print(goes_on(lambda: len(list(client.stream("slow", {"seconds": [0.3]})))))
client.close()
print("closed")
"""


@pytest.mark.parametrize("first", ["patched", "imported"])
def test_greenlets(url, first):
    start = PATCH + IMPORT if first == "patched" else IMPORT + PATCH
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", start + PROGRAM, url],
        capture_output=True,
        text=True,
        timeout=120,
    )
    expected = ["(0.25, True)", "(0.25, True)", "(4, True)", "('DeadlineExceeded', True)", "1225"]
    if url.startswith("grpc"):
        expected.append("(1, True)")
    assert ran.stdout.splitlines() == [*expected, "closed"], ran.stderr
