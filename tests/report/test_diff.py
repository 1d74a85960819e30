"""What differs between published versions, from what stands on the disk."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from nosbuild.errors import RepositoryError
from nosbuild.plan import host_facts
from nosbuild.report.build_report import BuildReport, VariantReport
from nosbuild.report.compared import version_folders
from nosbuild.report.diff import diff_versions
from nosbuild.repository.lock import spec_content, spec_digest
from nosbuild.repository.publish import Origins, publish
from nosbuild.verify.measure import Latency, Measurement, Ratio, Throughput
from nosbuild.verify.variant import verified

sys.path.append(str(Path(__file__).parents[1] / "repository"))
from variants import BATCHED, make_variant, write_spec


def measured(rate, over=None):
    return Measurement(
        latencies=(Latency(batch=4, median_ms=4000 / rate, p99_ms=5000 / rate),),
        throughputs=(
            Throughput(instances=1, threads=2, batch=4, items_per_second=1.0, p99_ms=1.0),
            Throughput(instances=2, threads=1, batch=4, items_per_second=rate, p99_ms=1.0),
        ),
        instances=2,
        threads=1,
        why="",
        over_baseline=over and Ratio(value=over, low=over, high=over, confidence=0.9, rounds=5),
    )


def report_of(spec, name, speed):
    rows = [
        VariantReport(name="source", precision="fp32", backend="", verdict="source"),
        VariantReport(name=name, precision="fp32", backend="b", verdict="published", speed=speed),
    ]
    return BuildReport(
        model=spec.name,
        published=name,
        headline="",
        objective="throughput",
        target="cpu",
        typical_batch=4,
        samples=1,
        real_samples=False,
        variants=tuple(rows),
        host={},
        libraries={},
        nosbuild="0",
    ).model_dump_json()


@pytest.fixture
def release(tmp_path):
    """Publishes a version of the model ``m`` with these figures; returns its folder."""

    def run(
        mark,
        text=BATCHED,
        error=0.0,
        bar="atol <= 0.5",
        rate=100.0,
        over=None,
        name="onnx-fp32",
        read=None,
        older=False,
        repository="repository",
        **host,
    ):
        spec = write_spec(tmp_path / repository, text)
        made = make_variant(tmp_path / "scratch", spec, mark)
        finding = made.proof.findings[0].model_copy(update={"value": error, "bar": bar})
        proof = made.proof.model_copy(update={"variant": name, "findings": (finding,)})
        fields = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
        for field in ("name", "_seal"):
            fields.pop(field)
        speed = measured(rate, over)
        variant = verified(**{**fields, "proof": proof, "measurement": speed})
        origins = Origins(
            spec_digest(spec),
            {},
            read or {},
            dataclasses.replace(host_facts(), **host),
            "0",
            None if older else spec_content(spec),
        )
        report = speed.model_dump_json() if older else report_of(spec, name, speed)
        done = publish(variant, spec, tmp_path / repository, origins, report=report)
        return done.folder / str(done.version)

    return run


def changes(found, section):
    return {
        change.what: (change.before, change.after)
        for change in found.changes
        if change.section == section
    }


def change(found, section, what):
    (one,) = (c for c in found.changes if c.section == section and c.what == what)
    return one


def test_nothing_differs_from_itself(release):
    folder = release("a")
    found = diff_versions(folder, folder)
    assert found.changes == ()
    assert (found.models, found.versions, found.notes) == (("m", "m"), (1, 1), ())


def test_what_was_written_in_the_spec(release):
    more = BATCHED.replace("1..4..16", "1..4..32") + "quality: {cosine: 0.99}\n"
    found = diff_versions(release("a"), release("b", more))
    spec = changes(found, "model.yaml")
    assert spec.pop("dims.batch") == ("1..4..16", "1..4..32")
    assert spec and all(what.startswith("quality") for what in spec)


def test_variant_libraries_machine_and_files(release):
    weights = {"/w/same.npy": "1", "/w/new.npy": "2", "/w/gone.npy": "3"}
    now = {"/w/same.npy": "1", "/w/new.npy": "4", "/w/more.npy": "5"}
    found = diff_versions(
        release("a", read=weights, libraries={"numpy": "1.26.4", "onnx": "1.20"}),
        release(
            "b",
            name="onnx-int8",
            read=now,
            libraries={"numpy": "2.4.0", "onnx": "1.20"},
            memory_bytes=1,
        ),
    )
    assert changes(found, "variant") == {"name": ("onnx-fp32", "onnx-int8")}
    assert changes(found, "libraries") == {"numpy": ("1.26.4", "2.4.0")}
    assert changes(found, "machine") == {"memory_bytes": (host_facts().memory_bytes, 1)}
    files = changes(found, "files")
    assert set(files) == {"model.onnx", "/w/new.npy", "/w/gone.npy", "/w/more.npy"}
    assert files["/w/gone.npy"] == ("3", None)
    assert files["/w/more.npy"] == (None, "5")


def test_the_size_of_the_artifact(release):
    a, b = release("a"), release("a much longer mark")
    one = change(diff_versions(a, b), "size", "bytes of the artifact")
    sizes = [(folder / "model.onnx").stat().st_size for folder in (a, b)]
    assert [one.before, one.after] == sizes
    assert one.ratio == sizes[1] / sizes[0] > 1


def test_the_error_by_bar(release):
    a, b = release("a", error=0.25), release("b", error=0.125)
    one = change(diff_versions(a, b), "error", "y: atol <= 0.5")
    assert (one.before, one.after, one.verdict) == (0.25, 0.125, "better")
    assert change(diff_versions(b, a), "error", "y: atol <= 0.5").verdict == "worse"
    cosine = (
        release("c", error=0.99, bar="cosine >= 0.9"),
        release("d", error=0.95, bar="cosine >= 0.95"),
    )
    one = change(diff_versions(*cosine), "error", "y: cosine >= 0.9 -> cosine >= 0.95")
    assert (one.before, one.after, one.verdict) == (0.99, 0.95, "worse")
    found = diff_versions(b, cosine[0])
    assert changes(found, "error") == {
        "y: atol <= 0.5": (0.125, None),
        "y: cosine >= 0.9": (None, 0.99),
    }


def test_speed_on_the_same_processor(release):
    found = diff_versions(release("a", rate=100.0, over=1.5), release("b", rate=200.0, over=3.0))
    one = change(found, "speed", "items/s at batch 4")
    assert (one.before, one.after, one.ratio, one.verdict) == (100, 200, 2, "better")
    one = change(found, "speed", "ms at batch 4, median")
    assert (one.before, one.after, one.ratio, one.verdict) == (40, 20, 0.5, "better")
    assert change(found, "speed", "throughput over onnx-fp32").ratio == 2
    assert any("a machine drifts" in note for note in found.notes)


@pytest.mark.parametrize("host", [{"cpu_model": "another"}, {"cpus": 97}])
def test_speed_on_another_processor_is_told_and_not_compared(release, host):
    found = diff_versions(release("a", rate=100.0), release("b", rate=200.0, **host))
    one = change(found, "speed", "items/s at batch 4")
    assert (one.before, one.after, one.ratio, one.verdict) == (100, 200, None, "")
    assert any("not comparable" in note for note in found.notes)


def test_versions_of_an_older_nosbuild(release):
    old = release("a", rate=100.0, older=True)
    content = json.loads((old / "nos.lock").read_text())
    for name in ("spec", "backend", "details"):
        del content[name]
    (old / "nos.lock").write_text(json.dumps(content))
    found = diff_versions(old, release("b", BATCHED + "description: new\n", rate=200.0))
    assert change(found, "speed", "items/s at batch 4").ratio == 2
    assert changes(found, "model.yaml") == {}
    assert any("version 1 was built by an older nosbuild" in note for note in found.notes)


@pytest.mark.parametrize("text", ["", "{", "{}", "3", '{"variants": []}'])
def test_a_report_that_is_none(release, text):
    a, b = release("a"), release("b")
    (a / "report.json").write_text(text)
    found = diff_versions(a, b)
    assert changes(found, "speed") == {}
    assert any(note.startswith("speed: not known") for note in found.notes)
    (a / "report.json").unlink()
    assert any("No such file" in note for note in diff_versions(a, b).notes)


def test_the_versions_meant(release, tmp_path, monkeypatch):
    a, b, c = release("a"), release("b"), release("c")
    other = release("x", repository="other")
    repository = tmp_path / "repository"
    assert version_folders("m", [], repository) == (b, c)
    assert version_folders("m", ["1"], repository) == (a, c)
    assert version_folders("m", ["3", "1"], repository) == (c, a)
    monkeypatch.chdir(repository)
    assert version_folders("m", ["1", "2"], Path("nowhere")) == (a, b)
    assert version_folders("m/1", ["2"], repository) == (Path("m/1"), b)
    assert version_folders(str(a), [str(other)], repository) == (a, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none does not exist"),
        (["m", "9"], "has no version 9\nBuilt versions are: 1, 2."),
        (["m", "one"], "has no version one"),
        (["m", "1", "2", "2"], "two versions can be compared at a time"),
        (["m/1"], "m/1 is one version"),
        (["empty"], "holds no version that a build made"),
        (["lone"], "has one version, 1: there is nothing to compare it with"),
    ],
)
def test_versions_that_cannot_be_meant(release, tmp_path, monkeypatch, arguments, message):
    release("a")
    release("b")
    repository = tmp_path / "repository"
    (repository / "empty").mkdir()
    release("x", repository="other").parent.rename(repository / "lone")
    monkeypatch.chdir(repository)
    with pytest.raises(RepositoryError, match=message.replace("\n", r"\n")):
        version_folders(arguments[0], arguments[1:], repository)
