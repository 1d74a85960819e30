"""``nosbuild bench`` beside a running Triton."""

import json
import os
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from bench_models import small_server

pytestmark = pytest.mark.live

NOSBUILD = Path(sys.executable).with_name("nosbuild")
SHORT = ("--duration", "0.5", "--warmup", "0")


class Page(HTMLParser):
    """Its words, its drawings, and whatever it would fetch or run."""

    def __init__(self, text):
        super().__init__()
        self.words, self.titles, self.foreign = [], [], []
        self.open = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.foreign += [tag] * (tag in ("script", "link", "img", "iframe"))
        self.foreign += [key for key, _ in attributes if key in ("src", "onload")]
        if tag == "meta":
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "title":
            self.titles.append(data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data.strip())


def test_the_table_ends_with_one_plain_sentence(service, nosbuild):
    done = nosbuild(
        "bench", "linear", "-c", "1,4", "--rate", "50", *SHORT, "--url", service.grpc_url
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "12 golden samples" in lines[0]
    for load in ("1 caller ", "4 callers ", "50/s "):
        assert sum(line.startswith(load) for line in lines) == 2  # the callers' side, Triton's
    assert lines[-1].startswith("✓ linear: ")
    assert "items/s with" in lines[-1]


def test_json_and_page_hold_the_same_figures(service, nosbuild, tmp_path):
    more = ("--json", "--html", "loads.html", "--url", service.http_url)
    done = nosbuild("bench", "linear", "-c", "8", "--batch", "2", *SHORT, *more)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"] == "linear"
    assert found["url"] == service.http_url
    (level,) = found["levels"]
    assert level["answered"] == level["server"]["requests"] > 0
    assert set(level["latency_ms"]) == {"mean", "p50", "p90", "p95", "p99", "max"}
    text = (tmp_path / "loads.html").read_text()
    page = Page(text)
    assert not page.foreign
    assert not page.open
    assert found["headline"] in page.words
    assert any(found["measured_at"] in words for words in page.words)
    assert any(found["machine"]["processor"] in words for words in page.words)
    assert f"{level['answered']:,}" in page.words
    runs = level["server"]["executions_by_batch_size"]
    for size, count in runs.items():
        assert any(title.startswith(f"{count:,} runs of {size} item") for title in page.titles)


def test_the_other_protocol_of_a_server_that_is_known(service, nosbuild):
    arguments = ("bench", "linear", "-c", "1", *SHORT, "--url", service.grpc_url, "--json")
    done = nosbuild(*arguments, "--protocol", "http")
    assert json.loads(done.stdout)["url"] == service.http_url


def test_errors_are_shown(service, nosbuild):
    done = nosbuild("bench", "flaky", "-c", "2", *SHORT, "--url", service.grpc_url)
    assert done.returncode == 0
    assert "x InferenceFailed, e.g. model 'flaky'" in done.stderr
    assert "every third one" in done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("✗ flaky")
    assert "requests failed" in last


def test_a_server_that_ends_meanwhile_is_an_error_of_the_host(tmp_path):
    (tmp_path / "models").mkdir()
    with small_server(tmp_path / "models") as own:
        options = ("--duration", "60", "--warmup", "0", "--url", own.grpc_url)
        child = subprocess.Popen(
            [NOSBUILD, "bench", "small", "-c", "1", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stderr.readline() == "small: 1 caller, 60 s\n"
        time.sleep(1.0)
        os.kill(own.pid, signal.SIGKILL)
        out, err = child.communicate()
    assert child.returncode == 5
    assert "was gone with 1 caller" in err
    assert "Traceback" not in err
    assert "ServerUnavailable" in err
    assert "items/s with 1 caller" in out  # what was measured until then


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_keeps_what_was_measured(service, tmp_path, as_json):
    more = ("--html", tmp_path / "page.html", *(("--json",) if as_json else ()))
    options = ("--duration", "1.5", "--warmup", "0", "--url", service.grpc_url, *more)
    child = subprocess.Popen(
        [NOSBUILD, "bench", "linear", "-c", "1,2,3", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while child.stderr.readline() != "linear: 2 callers, 1.5 s\n":
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in err
    said = "interrupted: 1 of 3 loads measured"
    if as_json:
        found = json.loads(out)
        assert [level["name"] for level in found["levels"]] == ["1 caller"]
        assert found["failure"] == said
    else:
        assert "items/s with 1 caller" in out
        assert said in err
        assert "partial" in err
    assert said in (tmp_path / "page.html").read_text()


def test_what_is_not_as_it_was_meant_gets_no_tick(service, nosbuild):
    url = ("--url", service.grpc_url)
    done = nosbuild("bench", "linear", "-c", "1", *SHORT, "--shared-memory", *url)
    assert "tensors go over the wire: no tensor" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("! linear")
    done = nosbuild("bench", "slow", "--rate", "200", *SHORT, *url)
    assert "does not keep up" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("! slow")


def test_help_tells_the_default_of_the_callers(nosbuild):
    assert "[default: 1,8,32" in nosbuild("bench", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("nope",), 3, "the server has no model 'nope'; it has: "),
        (("unloaded",), 3, "is not loaded"),
        (("linear", "-c", "0"), 3, "--concurrency 0"),
        (("linear", "-c", "1,two"), 3, "'two' is no number"),
        (("linear", "--rate", "-5"), 3, "--rate -5"),
        (("linear", "--duration", "-1"), 3, "duration of -1 s"),
        (("linear", "--batch", "1000"), 3, "takes at most"),
        (("linear", "--html", "no/such/folder.html"), 5, "no such folder"),
        (("linear", "--poisson"), 3, "--rate"),
        (("linear", "-c", "1,,2"), 3, "'' is no number"),
        (("ticker",), 3, "streams"),
        (("totals",), 3, "keeps a state"),
    ],
)
def test_bad_input(service, nosbuild, arguments, code, says):
    done = nosbuild("bench", *arguments, "--url", service.grpc_url)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_no_server(nosbuild):
    done = nosbuild("bench", "linear", "--url", "127.0.0.1:9")
    assert done.returncode == 5
    done = nosbuild("bench", "linear", "--url", "127.0.0.1:9", "--protocol", "http")
    assert done.returncode == 3
    assert "--url http://" in done.stderr
