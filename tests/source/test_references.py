"""User code: how it is found, and what is said when it is wrong."""

import sys

import pytest

from nosbuild.errors import SourceError
from nosbuild.source.load import load_source

MODULE = """
from torch import nn
class Net(nn.Module):
    def forward(self, x):
        return x * FACTOR
def create(factor=1):
    return Net()
FACTOR = 1
"""
YAML = "inputs: {x: 'float32[batch]'}\noutputs: {y: 'float32[batch]'}\n"


def source_line(reference):
    return f"source: {{torch: '{reference}'}}\n{YAML}"


def refused(make_model, code, reference="model.py:create"):
    with pytest.raises(SourceError) as caught:
        load_source(make_model(source_line(reference), model=code))
    assert caught.value.remedy
    return caught.value


def test_a_callable_that_raises_tells_the_line(make_model):
    code = (
        "import json\n\ndef create():\n    return broken()\n\ndef broken():\n    json.loads('{')\n"
    )
    message = refused(make_model, code).message
    assert message.startswith("source.torch: model.py:create raised JSONDecodeError: Expecting")
    assert message.endswith("(model.py:7)")


def test_a_file_that_raises_on_import_tells_the_line(make_model):
    message = refused(make_model, "x = 1\ny = 1 / 0\n").message
    assert (
        message
        == "model.py could not be imported: ZeroDivisionError: division by zero (model.py:2)"
    )


def test_a_syntax_error(make_model):
    message = refused(make_model, "def create(:\n").message
    assert "model.py could not be imported: SyntaxError" in message
    assert "line 1" in message


def test_a_missing_package_is_named(make_model):
    error = refused(make_model, "import no_such_package_anywhere\n")
    assert "'no_such_package_anywhere'" in error.message
    assert "Install the package that holds 'no_such_package_anywhere'" in error.remedy


def test_a_missing_callable_lists_what_there_is(make_model):
    error = refused(make_model, "def make(): ...\n_private = 1\n")
    assert error.message == "model.py has no 'create'"
    assert error.remedy == "It defines: make. Name one of those."


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("def create(): return 3", "int"),
        ("def create(): return None", "NoneType"),
        ("def create():\n    from torch import nn\n    return nn.Linear", "type"),
        ("create = {}", "dict"),
    ],
)
def test_a_callable_that_returns_no_module(make_model, code, kind):
    message = refused(make_model, code).message
    assert f"returned a {kind}, not a torch.nn.Module" in message


def test_wrong_init_arguments(make_model):
    spec = make_model(
        f"source: {{torch: 'model.py:create', init: {{width: 3}}}}\n{YAML}",
        model="def create(height): ...",
    )
    with pytest.raises(SourceError, match="unexpected keyword argument 'width'"):
        load_source(spec)


@pytest.mark.parametrize("reference", ["model.py:create", "model.py:Net", "model.py:Box.make"])
def test_functions_classes_and_dotted_names(make_model, reference):
    box = "\nclass Box:\n    @staticmethod\n    def make():\n        return Net()\n"
    source, _ = load_source(make_model(source_line(reference), model=MODULE + box))
    assert type(source.module.module).__name__ == "Net"


def test_a_module_object_itself(make_model):
    code = MODULE + "\nready = Net()\n"
    source, _ = load_source(make_model(source_line("model.py:ready"), model=code))
    assert not source.module.training


def test_neighbours_can_be_imported_above_and_inside_functions(make_model):
    code = "from above_me import FACTOR\ndef create():\n    from inside_me import Net; return Net()"
    spec = make_model(
        source_line("model.py:create"), model=code, above_me="FACTOR = 1", inside_me=MODULE
    )
    before = list(sys.path)
    load_source(spec)
    assert sys.path == before


@pytest.mark.parametrize("name", ["errors", "tensors", "spec", "json", "numpy"])
def test_files_named_like_ours_do_not_leak(make_model, name):
    spec = make_model(
        source_line(f"{name}.py:create"), **{name: MODULE + "\nclass NosError: ...\n"}
    )
    load_source(spec)
    import nosbuild.errors

    assert nosbuild.errors.NosError.exit_code == 1
    ours = sys.modules.get(name)
    assert ours is None or not str(getattr(ours, "__file__", "")).startswith(str(spec.folder))


def test_a_neighbour_named_like_an_installed_module_does_not_replace_it(make_model):
    code = "import json\ndef create():\n    json.dumps({})\n" + MODULE.replace("create", "other")
    code = code.replace("json.dumps({})\n", "json.dumps({})\n    return Net()\n")
    load_source(make_model(source_line("model.py:create"), model=code, json="raise SystemExit"))


def test_models_of_one_folder_name_and_files_of_one_stem_are_apart(make_model, tmp_path):
    (tmp_path / "a/m/sub").mkdir(parents=True)
    found = []
    for place, factor in (("a/m", 2), ("b/m", 3)):
        spec = make_model(
            source_line("model.py:create"), name=place, model=MODULE.replace("= 1", f"= {factor}")
        )
        found.append(load_source(spec)[0])
    (tmp_path / "a/m/sub/model.py").write_text(MODULE.replace("FACTOR = 1", "FACTOR = 4"))
    found.append(load_source(make_model(source_line("sub/model.py:create"), name="a/m"))[0])
    import numpy as np

    ones = {"x": np.ones(1, np.float32)}
    assert [float(source.run(ones)["y"][0]) for source in found] == [2, 3, 4]
