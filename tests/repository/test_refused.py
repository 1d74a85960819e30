"""A version that a running server refused: what the next builds, and checks, make of it."""

import pytest
from variants import BATCHED

from nosbuild.errors import Refused
from nosbuild.repository.check import check_repository
from nosbuild.repository.config import read_config
from nosbuild.repository.layout import ModelFolder
from nosbuild.repository.listing import list_models
from nosbuild.repository.refused import mark_refused, refusal_of, restore_config
from nosbuild.repository.unservable import unservable_models


def served(model):
    return list(read_config(model / "config.pbtxt").version_policy.specific.versions)


def refuse(model, publish, text=BATCHED):
    """Publishes version 2 beside 1, refuses it, and goes back."""
    publish("first", text)
    config = model / "config.pbtxt"
    earlier, changed = config.read_bytes(), config.stat().st_mtime_ns
    publish("second", text)
    folder = ModelFolder(model)
    mark_refused(folder, 2, "y: cosine 0.1")
    restore_config(folder, earlier, changed)
    assert (config.read_bytes(), config.stat().st_mtime_ns) == (earlier, changed)
    return folder


def test_the_same_again_is_refused_again_without_a_word_to_any_server(model, publish):
    folder = refuse(model, publish)
    with pytest.raises(
        Refused, match=r"version 2 again, which a running server refused: y: cosine 0\.1"
    ):
        publish("second")
    assert served(model) == [1]
    (model / "2/refused.json").unlink()
    assert publish("second").why == "config.pbtxt restored"
    assert served(model) == [2]
    assert not refusal_of(folder, 2)


def test_a_change_and_its_reversal_do_not_publish_it_again(model, publish):
    refuse(model, publish)
    assert publish("third").version == 3
    with pytest.raises(Refused, match="this is version 2 again, which a running server refused"):
        publish("second")
    assert served(model) == [3]


@pytest.mark.parametrize(
    ("policy", "named"), [("latest", [3]), ("{latest: 2}", [1, 3]), ("all", [1, 3])]
)
def test_what_comes_next_is_published_without_it(model, publish, policy, named):
    text = f"{BATCHED}\nversion_policy: {policy}"
    refuse(model, publish, text)
    assert publish("third", text).version == 3
    assert served(model) == named


def test_what_is_served_outlives_any_number_of_refused_versions(model, publish, repository):
    folder = refuse(model, publish)
    earlier, changed = folder.config.read_bytes(), folder.config.stat().st_mtime_ns
    for number, mark in enumerate("abcd", start=3):
        publish(mark)
        mark_refused(folder, number, "no")
        restore_config(folder, earlier, changed)
        assert not list(model.glob(".staging-*"))
    assert folder.versions() == [1, 4, 5, 6]
    assert not unservable_models(repository, ["m"])


def test_check_and_ls_tell_it(model, publish, repository):
    refuse(model, publish)
    (finding,) = check_repository(repository)
    assert finding.severity == "warning"
    assert finding.message == "a running server refused version 2: y: cosine 0.1"
    assert "nosbuild build" in finding.remedy
    (row,) = list_models(repository)
    assert (row.version, row.refused) == (1, 2)


def test_a_config_that_names_it_is_not_served(model, publish, repository):
    refuse(model, publish)
    config = model / "config.pbtxt"
    config.write_text(config.read_text().replace("versions: 1", "versions: 2"))
    assert "refused version 2: y: cosine 0.1" in unservable_models(repository, ["m"])["m"]


def test_a_mark_that_cannot_be_read_is_a_mark(model, publish):
    folder = refuse(model, publish)
    (model / "2/refused.json").write_text("{")
    assert "does not say why" in refusal_of(folder, 2)
