"""In which order models are built, and which others are built because they are called."""

import pytest

from nosbuild.steps.build_order import build_order

CLASS = """
class Model:
    def __init__(self, models=None): ...

    def __call__(self, x: float) -> float: ...
"""


def write(repository, name, calls=(), *, pipeline=False, built=False):
    folder = repository / name
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(CLASS)
    text = f'name: {name}\nsource: {{python: "model.py:Model"}}\nmodels: [{", ".join(calls)}]\n'
    if pipeline:
        steps = ", ".join(
            f"{{model: {call}, in: {{x: x}}, out: {{y: y{place}}}}}"
            for place, call in enumerate(calls)
        )
        text = f"name: {name}\nsource: {{pipeline: [{steps}]}}\noutputs: {{y: y0}}\n"
    (folder / "model.yaml").write_text(text)
    if built:
        (folder / "config.pbtxt").touch()
    return folder


def order(*folders, repository=None):
    return [(one.folder.name, one.needed_by) for one in build_order(folders, repository)]


def test_each_comes_after_what_it_calls(tmp_path):
    top = write(tmp_path, "a_top", ["middle", "leaf"], pipeline=True)
    middle = write(tmp_path, "middle", ["leaf"])
    leaf = write(tmp_path, "leaf")
    assert order(top, middle, leaf) == [("leaf", ""), ("middle", ""), ("a_top", "")]


def test_what_is_called_and_not_built_is_built_too(tmp_path):
    write(tmp_path, "built", ["unknown"], built=True)
    write(tmp_path, "leaf")
    write(tmp_path, "middle", ["leaf", "built", "nowhere"])
    top = write(tmp_path, "top", ["middle"], pipeline=True)
    assert order(top) == [("leaf", "middle"), ("middle", "top"), ("top", "")]


def test_another_repository_has_its_own(tmp_path):
    """Built beside the spec, but not where it is to be published."""
    write(tmp_path / "specs", "leaf", built=True)
    top = write(tmp_path / "specs", "top", ["leaf"], pipeline=True)
    assert order(top) == [("top", "")]
    assert order(top, repository=tmp_path / "served") == [("leaf", "top"), ("top", "")]


def test_a_method_is_built_with_its_class(tmp_path):
    write(tmp_path, "chat")
    top = write(tmp_path, "top", ["chat.stream"])
    assert order(top) == [("chat", "top"), ("top", "")]


@pytest.mark.parametrize("file", ["model.yaml", ""])
def test_a_folder_that_is_asked_for_is_not_built_twice(tmp_path, file):
    leaf = write(tmp_path, "leaf")
    top = write(tmp_path, "top", ["leaf"])
    assert [one.needed_by for one in build_order([top, leaf / file])] == ["", ""]


def test_classes_that_call_each_other_keep_their_order(tmp_path):
    one, other = write(tmp_path, "one", ["other"]), write(tmp_path, "other", ["one"])
    assert order(other, one) == [("other", ""), ("one", "")]


def test_a_broken_spec_keeps_its_place(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.yaml").write_text("name: [")
    good = write(tmp_path, "good")
    assert order(tmp_path / "broken", good, tmp_path / "absent") == [
        ("broken", ""),
        ("good", ""),
        ("absent", ""),
    ]
