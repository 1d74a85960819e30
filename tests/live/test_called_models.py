"""New versions of a class that calls a model which is not loaded, or was never known."""

import textwrap

import pytest

import nosbuild
from nosbuild.errors import Refused, RequestError
from nosbuild.prove import prove_versions
from nosbuild.prove.published import published_versions
from nosbuild.repository.layout import ModelFolder
from rolling import PORTS, Publisher

CALLER = """
import sys
import numpy as np


class Caller:
    def __init__(self{models}):
        self.models = {given}

    def __call__(self, x: int) -> int:
        return {answer}
"""
ASKED = 'int(self.models.part(x=np.full((1, 4), x, np.float32))["y"][0, 0])'
OTHERWISE = f"{ASKED} + (5 if 'triton_python_backend_utils' in sys.modules else 6)"


def write(folder, answer, calls=True):
    folder.mkdir(parents=True, exist_ok=True)
    models, given = (", models", "models") if calls else ("", "None")
    code = textwrap.dedent(CALLER).format(models=models, given=given, answer=answer)
    (folder / "model.py").write_text(code)
    samples = "def samples():\n    for x in range(3):\n        yield {'x': x}\n"
    (folder / "samples.py").write_text(samples)
    more = "models: [part]\n" if calls else ""
    (folder / "model.yaml").write_text(
        "name: caller\nsource: {python: 'model.py:Caller'}\nsamples: 'samples.py:samples'\n" + more
    )
    return nosbuild.build(folder).version


def test_it_is_loaded_to_prove_what_calls_it_and_stays_where_that_serves(tmp_path):
    (tmp_path / "repository").mkdir()
    publish = Publisher(tmp_path / "repository", tmp_path / "scratch")
    folder = publish.repository / "caller"
    write(folder, "x", calls=False)
    publish("part", 1)
    with (
        nosbuild.serve(publish.repository, models=["caller"], **PORTS) as service,
        service.client() as client,
    ):

        def answer():
            return int(client.run("caller", {"x": [[1]]})["output"].item())

        assert (answer(), service.models()) == (1, ["caller"])
        assert service.files.served("part") is None
        assert write(folder, ASKED) == 2
        service.load_model("caller")
        assert (answer(), service.models()) == (2, ["caller", "part"])
        assert list(service.files.served("part").versions) == [1]
        service.unload_model("part")
        assert write(folder, OTHERWISE) == 3
        with pytest.raises(Refused, match="caller: version 3 refused; version 2 stays"):
            service.load_model("caller")
        assert service.models() == ["caller"]
        # What the server does not have is told by an error of the tree.
        with pytest.raises(RequestError, match="part"):
            prove_versions(
                published_versions(ModelFolder(publish.repository / "part"), {}), service
            )
