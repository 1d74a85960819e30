"""Placements in config.pbtxt: written for all or none, told from hand edits, kept by builds."""

import errno
from pathlib import Path

import pytest
from variants import BATCHED

from nosbuild.errors import HostError, RepositoryError
from nosbuild.repository.check import check_repository
from nosbuild.repository.config import read_config
from nosbuild.repository.placed import is_placed, without_placement, write_placements

ON_GPU = BATCHED + "instances: {kind: gpu}\n"


def groups(model):
    return [(g.count, list(g.gpus)) for g in read_config(model / "config.pbtxt").instance_group]


def test_a_group_for_each_number_of_instances(publish, repository, model):
    publish("first", ON_GPU)
    before = read_config(model / "config.pbtxt")
    assert write_placements(repository, {"m": {2: 1, 0: 3, 5: 1}}) == ["m"]
    placed = read_config(model / "config.pbtxt")
    assert groups(model) == [(3, [0]), (1, [2, 5])]
    assert all(group.kind == group.KIND_GPU for group in placed.instance_group)
    assert without_placement(placed) == before
    assert write_placements(repository, {"m": {2: 1, 0: 3, 5: 1}}) == []


def test_another_placement_takes_the_place_of_the_first(publish, repository, model):
    publish("first", ON_GPU)
    before = read_config(model / "config.pbtxt")
    write_placements(repository, {"m": {0: 1}})
    write_placements(repository, {"m": {1: 2}})
    assert groups(model) == [(2, [1])]
    assert without_placement(read_config(model / "config.pbtxt")) == before


def test_check_knows_a_placement_from_a_change_by_hand(publish, repository, model):
    publish("first", ON_GPU)
    write_placements(repository, {"m": {0: 1, 3: 2}})
    assert check_repository(repository) == []
    config = model / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 16", "max_batch_size: 8"))
    [finding] = check_repository(repository)
    assert "is not what version 1 was built with" in finding.message


def test_a_build_of_the_same_changes_nothing(publish, repository, model):
    publish("first", ON_GPU)
    write_placements(repository, {"m": {0: 1, 3: 2}})
    before = (model / "config.pbtxt").read_bytes()
    assert publish("first", ON_GPU).is_unchanged
    assert (model / "config.pbtxt").read_bytes() == before


def test_a_new_version_keeps_the_placement(publish, repository, model):
    publish("first", ON_GPU)
    write_placements(repository, {"m": {0: 1, 3: 2}})
    done = publish("second", ON_GPU)
    assert (done.version, done.note) == (2, "its placement is kept: GPU 0, 3 (nosbuild plan)")
    assert groups(model) == [(2, [3]), (1, [0])]
    assert check_repository(repository) == []


def test_a_build_for_the_cpu_ends_the_placement_and_says_so(publish, repository, model):
    publish("first", ON_GPU)
    write_placements(repository, {"m": {0: 1}})
    done = publish("second", BATCHED)
    assert "its placement on GPUs is gone" in done.note
    assert not is_placed(read_config(model / "config.pbtxt"))
    assert check_repository(repository) == []


def test_a_parameter_changed_by_hand_is_a_change_by_hand(publish, repository, model):
    publish("first", ON_GPU)
    write_placements(repository, {"m": {0: 1}})
    config = model / "config.pbtxt"
    config.write_text(config.read_text().replace("instance_group { count", "instance_grou { count"))
    [finding] = check_repository(repository)
    assert "is not what version 1 was built with" in finding.message


def test_settings_of_a_group_stay_and_a_config_by_hand_says_who_wrote_it(repository):
    folder = repository / "hand"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(
        'backend: "tensorrt" instance_group { name: "x" kind: KIND_GPU profile: "2" }'
    )
    write_placements(repository, {"hand": {1: 1}})
    assert "nosbuild plan --apply" in (folder / "config.pbtxt").read_text().splitlines()[0]
    [group] = read_config(folder / "config.pbtxt").instance_group
    assert (group.profile, group.name, list(group.gpus)) == (["2"], "", [1])
    (folder / "config.pbtxt").write_text('backend: "tensorrt"')
    write_placements(repository, {"hand": {1: 1}})
    assert groups(folder) == [(1, [1])]


def both(publish, repository):
    for name in ("a", "b"):
        publish("first", ON_GPU, name=name)
    return {name: (repository / name / "config.pbtxt").read_bytes() for name in ("a", "b")}


def unchanged(repository, before):
    assert all((repository / n / "config.pbtxt").read_bytes() == text for n, text in before.items())
    assert not list(repository.glob("*/.staging-*"))


def test_nothing_is_written_where_one_model_cannot_be_read(publish, repository):
    before = both(publish, repository)
    before["b"] = b"max_batch_siz: 4"
    (repository / "b/config.pbtxt").write_bytes(before["b"])
    with pytest.raises(RepositoryError, match="max_batch_siz"):
        write_placements(repository, {"a": {0: 1}, "b": {0: 1}})
    unchanged(repository, before)


def test_nothing_is_written_where_the_last_cannot_be_replaced(publish, repository, monkeypatch):
    before = both(publish, repository)
    replace = Path.replace

    def full(source, target):
        if source.name == "after" and target.parent.name == "b":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(HostError, match="nothing was placed: the disk is full"):
        write_placements(repository, {"a": {0: 1}, "b": {0: 1}})
    unchanged(repository, before)
