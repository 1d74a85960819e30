import pytest

from nosbuild.errors import HostError, InputError
from nosbuild.placement.gpu_list import parse_gpus

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("80GiB", [80 * GIB]),
        ("4x80GiB", [80 * GIB] * 4),
        ("2x80GiB,1x24GiB", [80 * GIB, 80 * GIB, 24 * GIB]),
        (" 2 x 80 GiB , 24GiB", [80 * GIB, 80 * GIB, 24 * GIB]),
        ("81559MiB", [81559 * 2**20]),
    ],
)
def test_gpus_are_numbered_as_written(text, sizes):
    found = parse_gpus(text)
    assert [gpu.size for gpu in found] == sizes
    assert [gpu.index for gpu in found] == list(range(len(sizes)))


@pytest.mark.parametrize(
    "text",
    ["", "4x", "x80GiB", "0x80GiB", "4x0GiB", "80", "4x80GiB,", "many", "4y80GiB", "2000x1GB"],
)
def test_what_names_no_gpus(text):
    with pytest.raises(InputError) as caught:
        parse_gpus(text)
    assert caught.value.message.startswith("--gpus: ")
    assert "4x80GiB" in caught.value.remedy


def test_the_gpus_of_this_machine():
    from nosbuild.plan.gpus import NoGpu, gpus

    if isinstance(gpus(), NoGpu):
        with pytest.raises(HostError, match="--gpus here: no"):
            parse_gpus("here")
    else:
        assert [gpu.size for gpu in parse_gpus("here")] == [gpu.memory_bytes for gpu in gpus()]
