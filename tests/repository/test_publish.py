"""Publication through ``publish``, with the bytes on the disk as the witness."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from variants import BATCHED, make_variant, publish_variant, tree, write_spec

from nosbuild.errors import HostError, Refused, SpecError
from nosbuild.repository.config import read_config
from nosbuild.repository.layout import ModelFolder
from nosbuild.repository.lock import read_lock
from nosbuild.store.hashing import sha256_of_file


def served(model):
    return list(read_config(model / "config.pbtxt").version_policy.specific.versions)


def policy(text):
    return f"{BATCHED}version_policy: {text}"


def test_a_version_holds_everything(publish, model):
    done = publish("first")
    assert (done.folder, done.version, done.is_new) == (model, 1, True)
    assert served(model) == [1]
    names = {path.name for path in (model / "1").iterdir()}
    assert names == {"model.onnx", "nos.lock", "golden", "report.json"}
    lock = read_lock(model / "1/nos.lock")
    assert lock.artifact == {"model.onnx": sha256_of_file(model / "1/model.onnx")}
    assert (lock.model, lock.version, lock.variant) == ("m", 1, "onnx-fp32")
    assert lock.proof["findings"][0]["bar"] == "atol <= 0"


def test_what_warmup_names_is_there(publish, model):
    publish("first")
    for warmup in read_config(model / "config.pbtxt").model_warmup:
        for tensor in warmup.inputs.values():
            data = (model / "warmup" / tensor.input_data_file).read_bytes()
            assert data == b"\x00\x00\x80?" * 4


def test_warmup_of_strings_is_written_as_triton_reads_them(publish, model):
    publish(
        "first",
        'source: {onnx: model.onnx}\ninputs: {x: "string[batch, 2]"}\n'
        'outputs: {y: "string[batch, 2]"}',
    )
    (file,) = (model / "warmup").iterdir()
    word = "größe".encode()
    assert file.read_bytes() == 2 * (len(word).to_bytes(4, "little") + word)


def test_a_tensor_may_have_a_slash_in_its_name(publish, model):
    publish(
        "first",
        'source: {onnx: model.onnx}\ninputs: {"a/x:0": "float32[batch, 2]"}\n'
        'outputs: {"b/y:0": "float32[batch, 2]"}',
    )
    (warmup, _) = read_config(model / "config.pbtxt").model_warmup
    assert (model / "warmup" / warmup.inputs["a/x:0"].input_data_file).is_file()


def test_nothing_is_written_where_nothing_changed(publish, model):
    publish("first")
    before = tree(model)
    again = publish("first")
    # Only the spec was written again, by the test itself.
    changed = {name for name, found in tree(model).items() if before.get(name) != found}
    assert changed == {"model.yaml", "model.onnx"}
    assert (again.version, again.is_new, again.why) == (1, False, "nothing changed")


def test_comments_in_the_spec_change_nothing(publish):
    publish("first")
    assert not publish("first", BATCHED + "# a comment\n").is_new


@pytest.mark.parametrize("more", ["description: new", "response_cache: true"])
def test_settings_make_a_new_version(publish, model, more):
    publish("first")
    assert publish("first", BATCHED + more).is_new
    assert served(model) == [2]


def test_old_versions_are_left_byte_for_byte(publish, model):
    publish("first")
    before = tree(model / "1")
    publish("second")
    assert tree(model / "1") == before
    assert served(model) == [2]
    assert (model / "2/model.onnx").read_bytes() != (model / "1/model.onnx").read_bytes()


def test_three_versions_are_kept(publish, model):
    for mark in "abcde":
        publish(mark)
    assert ModelFolder(model).versions() == [3, 4, 5]


def test_folders_that_no_build_made_are_left_alone(publish, model):
    (model / "7").mkdir(parents=True)
    (model / "7/model.onnx").write_text("by hand")
    for mark in "abcd":
        publish(mark)
    assert (model / "7/model.onnx").read_text() == "by hand"
    assert ModelFolder(model).versions() == [7, 9, 10, 11]


def warmup_files(model):
    return {path.name for path in (model / "warmup").iterdir()}


def named_warmup_files(model):
    return {
        tensor.input_data_file
        for warmup in read_config(model / "config.pbtxt").model_warmup
        for tensor in warmup.inputs.values()
    }


def test_warmup_files_stay_as_long_as_their_versions(publish, model):
    """A server that serves an older version reads them when it loads that again."""
    named = []
    for mark, size in zip("abcde", range(4, 9), strict=True):
        publish(mark, BATCHED.replace("[batch, 4]", f"[batch, {size}]"))
        named.append(named_warmup_files(model))
    assert ModelFolder(model).versions() == [3, 4, 5]
    assert warmup_files(model) == named[2] | named[3] | named[4]
    assert not warmup_files(model) & named[0]


def test_warmup_files_of_the_user_stay(publish, model):
    publish("first")
    (model / "warmup/mine").write_text("mine")
    publish("second")
    assert (model / "warmup/mine").read_text() == "mine"


def test_policy_latest(publish, model):
    for mark in "abc":
        publish(mark, policy("{latest: 2}"))
    assert served(model) == [2, 3]


def test_policy_all_keeps_all(publish, model):
    for mark in "abcde":
        publish(mark, policy("all"))
    assert served(model) == [1, 2, 3, 4, 5]


def test_policy_specific_means_those_alone(publish, model):
    for mark in "abcde":
        publish(mark, policy("{specific: [1, 3]}"))
    assert served(model) == [1, 3]
    assert ModelFolder(model).versions() == [1, 3, 4, 5]


def test_going_back_to_an_older_version_makes_no_new_one(publish, model):
    publish("a")
    publish("b")
    back = publish("b", policy("{specific: [1]}"))
    assert (back.version, back.is_new) == (2, False)
    assert served(model) == [1]
    assert publish("b", policy("{specific: [1]}")).is_unchanged
    publish("b")
    assert served(model) == [2]


def test_policy_that_names_no_version_is_refused_before_anything_is_written(publish, model):
    publish("a")
    before = tree(model / "1"), (model / "config.pbtxt").read_bytes()
    with pytest.raises(SpecError) as caught:
        publish("b", policy("{specific: [7]}"))
    assert "version_policy.specific: names no version that there is with these inputs" in str(
        caught.value
    )
    assert before == (tree(model / "1"), (model / "config.pbtxt").read_bytes())
    assert ModelFolder(model).versions() == [1]


def test_versions_of_another_shape_are_not_served_beside_the_new_one(publish, model):
    publish("a", policy("all"))
    publish("b", policy("all").replace("float32[batch", "float64[batch"))
    assert served(model) == [2]
    with pytest.raises(SpecError, match="with these inputs, outputs and largest batch"):
        publish("b", policy("{specific: [1]}").replace("float32[batch", "float64[batch"))
    assert served(model) == [2]


def test_a_tampered_artifact_is_published_anew(publish, model):
    publish("first")
    with (model / "1/model.onnx").open("ab") as file:
        file.write(b"x")
    assert publish("first").version == 2
    assert served(model) == [2]


def test_a_missing_artifact_is_published_anew(publish, model):
    publish("first")
    (model / "1/model.onnx").unlink()
    assert publish("first").version == 2


def test_a_broken_lock_is_published_anew(publish, model):
    publish("first")
    (model / "1/nos.lock").write_text("{}")
    assert publish("first").version == 2


@pytest.mark.parametrize("damage", ["edited", "gone", "broken"])
def test_a_damaged_config_is_restored_without_a_new_version(publish, model, damage):
    publish("first")
    config = model / "config.pbtxt"
    good = config.read_bytes()
    if damage == "edited":
        config.write_bytes(good.replace(b"max_batch_size: 16", b"max_batch_size: 8"))
        assert config.read_bytes() != good
    elif damage == "gone":
        config.unlink()
    else:
        config.write_text("{")
    done = publish("first")
    assert (done.version, done.is_new, done.is_unchanged) == (1, False, False)
    assert config.read_bytes() == good


def test_a_missing_warmup_file_is_restored(publish, model):
    publish("first")
    (file,) = (model / "warmup").iterdir()
    good = file.read_bytes()
    file.unlink()
    publish("first")
    assert file.read_bytes() == good


def test_an_unproven_variant_cannot_be_made(repository, scratch):
    with pytest.raises(Refused, match="atol <= 0"):
        make_variant(scratch, write_spec(repository), holds=False)


def test_every_file_of_the_artifact_is_published(repository, scratch):
    spec = write_spec(repository)
    variant = make_variant(scratch, spec, more_files=["model.onnx.data"])
    publish_variant(variant, spec, repository)
    assert (repository / "m/1/model.onnx.data").read_text() == "first"


def test_a_full_disk_leaves_the_old_version(small_disk, scratch):
    spec = write_spec(small_disk)
    publish_variant(make_variant(scratch, spec, "first"), spec, small_disk)
    before = tree(small_disk)
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(b"x" * (free - 8192))
    with pytest.raises(HostError, match="the disk is full") as caught:
        publish_variant(make_variant(scratch, spec, "second"), spec, small_disk)
    assert "serves what it served before" in caught.value.message
    assert "Free some space" in caught.value.remedy
    (small_disk / "filler").unlink()
    assert tree(small_disk) == before
    assert not list((small_disk / "m").glob(".staging-*"))
    again = publish_variant(make_variant(scratch, spec, "second"), spec, small_disk)
    assert again.version == 2


def test_a_read_only_repository(small_disk, scratch):
    spec = write_spec(small_disk)
    publish_variant(make_variant(scratch, spec, "first"), spec, small_disk)
    before = tree(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(HostError, match="read-only") as caught:
        publish_variant(make_variant(scratch, spec, "second"), spec, small_disk)
    assert "--repository" in caught.value.remedy
    assert tree(small_disk) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_repository_without_the_right_to_write(publish, repository):
    publish("first")
    repository.joinpath("m").chmod(0o555)
    try:
        with pytest.raises(HostError, match="you may not write there"):
            publish("second")
    finally:
        repository.joinpath("m").chmod(0o755)


def test_killed_at_every_step_of_a_publication(repository, scratch):
    """Each file operation in turn is the one before which the process is killed."""
    driver = Path(__file__).with_name("killed_publications.py")
    done = subprocess.run(
        [sys.executable, str(driver), str(repository), str(scratch)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    killed, served_new = map(int, done.stdout.split())
    assert killed > 30  # file operations of one publication
    assert 0 < served_new < killed  # some were killed after the publication, most before it
