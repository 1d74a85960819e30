"""Every bad spec is told from the others: by line, key, what was found, and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_pipeline_specs import PIPELINE_SPECS
from bad_python_specs import PYTHON_SPECS
from bad_specs import BAD_SPECS, BadSpec, Row
from bad_stateful_specs import STATEFUL_SPECS

from nosbuild.errors import SpecError
from nosbuild.spec import load_spec

ALL_BAD_SPECS = (*BAD_SPECS, *PYTHON_SPECS, *PIPELINE_SPECS, *STATEFUL_SPECS)


@pytest.mark.parametrize("bad", ALL_BAD_SPECS, ids=lambda bad: bad.name)
def test_bad_spec(bad: BadSpec, load, tmp_path):
    with pytest.raises(SpecError) as raised:
        load(bad.content)
    problems = raised.value.problems
    assert [Row(p.line, p.key, p.found, p.remedy) for p in problems] == list(bad.problems)
    file = tmp_path / "m" / "model.yaml"
    for row in bad.problems:
        where = f"{file}:{row.line}" if row.line else str(file)
        key = f"{row.key}: " if row.key else ""
        assert f"{where}: {key}{row.found}\n  {row.remedy}" in str(raised.value)


def test_names_of_the_table_are_distinct():
    names = [bad.name for bad in ALL_BAD_SPECS]
    assert len(set(names)) == len(names)


def test_no_such_path(tmp_path):
    with pytest.raises(
        SpecError, match=r"no such file or folder\n.*nosbuild new gone --from torch"
    ):
        load_spec(tmp_path / "gone")


def test_folder_without_a_spec_names_the_models_in_it(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.yaml").touch()
    with pytest.raises(SpecError, match=r"has no model\.yaml\n.*one of the models in it: a, b"):
        load_spec(tmp_path)


def test_folder_with_another_suffix(tmp_path):
    (tmp_path / "model.yml").touch()
    with pytest.raises(SpecError, match=r"rename model\.yml to model\.yaml"):
        load_spec(tmp_path)


def test_exit_code_is_that_of_bad_input(load):
    with pytest.raises(SpecError) as raised:
        load("name: m\n")
    assert raised.value.exit_code == 3


def test_name_is_that_of_the_folder_as_given(load, tmp_path: Path, monkeypatch):
    load("name: m\nsource: {huggingface: org/m}\n")
    link = tmp_path / "other"
    link.symlink_to(tmp_path / "m")
    with pytest.raises(SpecError, match="'m' is not the folder's name 'other'"):
        load_spec(link)
    monkeypatch.chdir(tmp_path / "m")
    assert load_spec(".").name == "m"
