"""What lies in a model's folder of environments: links, and packed files that stay."""

import dataclasses
import subprocess

import pytest

from nosbuild.environments.linking import is_packed, link_environment, remove_other_links
from nosbuild.environments.model_environment import Environment
from nosbuild.errors import HostError


@pytest.fixture
def environment(tmp_path, six):
    return Environment(tmp_path / "cache" / six.key, six)


def test_a_link_is_made_kept_and_corrected(environment, tmp_path):
    place = link_environment(tmp_path / "environments", environment)
    assert place.readlink() == environment.folder
    made = place.lstat().st_ino
    assert link_environment(place.parent, environment).lstat().st_ino == made
    elsewhere = dataclasses.replace(environment, folder=tmp_path / "elsewhere")
    assert link_environment(place.parent, elsewhere).readlink() == tmp_path / "elsewhere"
    assert [each.name for each in place.parent.iterdir()] == [environment.key]


def test_a_folder_in_its_place_is_left_alone_and_told(environment, tmp_path):
    place = tmp_path / "environments" / environment.key
    (place / "bin").mkdir(parents=True)
    with pytest.raises(HostError, match="is a folder") as caught:
        link_environment(place.parent, environment)
    assert caught.value.remedy.startswith("Remove it")
    assert [each.name for each in place.parent.iterdir()] == [environment.key]


def test_what_is_packed_there_stays(environment, tmp_path):
    packed = tmp_path / "environments" / environment.key
    packed.parent.mkdir()
    packed.write_bytes(b"an archive")
    assert is_packed(link_environment(packed.parent, environment))
    remove_other_links(packed.parent, [])
    assert packed.read_bytes() == b"an archive"


def test_links_that_no_version_needs_go(environment, tmp_path):
    place = link_environment(tmp_path / "environments", environment)
    (place.parent / "old").symlink_to(tmp_path)
    remove_other_links(place.parent, [environment.key])
    assert [each.name for each in place.parent.iterdir()] == [environment.key]
    remove_other_links(tmp_path / "nothing there", [])


def test_a_repository_that_cannot_be_written_needs_the_link_already(environment, small_disk):
    folder = small_disk / "environments"
    link_environment(folder, environment)
    moved = dataclasses.replace(environment, folder=small_disk / "elsewhere")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert link_environment(folder, environment).is_symlink()
    remove_other_links(folder, [])
    with pytest.raises(HostError, match="Read-only file system") as caught:
        link_environment(folder, moved)
    assert "writable" in caught.value.remedy
