"""Tensors and images of other libraries as inputs: torch for real, others as they behave."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from PIL import Image

from nosclient import InvalidInput, TensorInfo
from nosclient._codec import encode
from nosclient._model_info import Signature

torch = pytest.importorskip("torch")


def encoded(datatype, shape, value, strict=True):
    inputs = (TensorInfo("x", datatype, shape),)
    [tensor] = encode(
        Signature("m", ("1",), "", "", inputs, (), 0, False, ""), {"x": value}, strict=strict
    )
    return tensor.array


def refused(datatype, shape, value, strict=True):
    with pytest.raises(InvalidInput) as caught:
        encoded(datatype, shape, value, strict)
    assert f"expected m(x: {datatype}[" in str(caught.value)
    return str(caught.value)


def test_a_torch_tensor_is_read_where_it_lies():
    tensor = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    array = encoded("FP32", (-1, 3), tensor)
    assert array.ctypes.data == tensor.data_ptr()
    assert encoded("FP32", (3, 2), tensor.T).tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    ("datatype", "tensor"),
    [
        ("FP32", torch.ones(2, 2, requires_grad=True) * 2),
        ("INT64", torch.tensor([[1, -2]])),
        ("BOOL", torch.tensor([[True, False]])),
        ("UINT8", torch.zeros((1, 0), dtype=torch.uint8)),
        ("FP16", torch.ones(1, 2, dtype=torch.float16)[:, ::2]),
        ("FP32", torch.tensor([[1 + 2j]]).conj().imag),
        ("FP32", torch.nn.Parameter(torch.ones(1, 2))),
    ],
)
def test_torch_tensors(datatype, tensor):
    array = encoded(datatype, (-1, -1), tensor)
    np.testing.assert_array_equal(array, tensor.detach().resolve_neg().numpy())


def test_torch_tensors_are_typed():
    doubles = torch.ones(2, dtype=torch.float64)
    assert "pass .to(torch.float32) if" in refused("FP32", (-1,), doubles)
    assert "pass .to(torch.float32) if" in refused("FP32", (-1, 2), [doubles, doubles])
    assert "pass .to(torch.int32) if" in refused("INT32", (-1,), torch.tensor([1]))
    assert "pass .to(torch.bfloat16) if" in refused("BF16", (-1,), torch.tensor([0.1]))
    assert "pass .astype(np.float32) if" in refused("FP32", (-1,), doubles.numpy())
    assert encoded("FP64", (-1,), torch.ones(2)).dtype == np.float64
    assert encoded("FP32", (1,), torch.tensor(3.0)).tolist() == [3]


def test_lists_of_tensors_arrays_and_images_are_stacked():
    rows = [torch.ones(3), torch.zeros(3, requires_grad=True)]
    assert encoded("FP32", (-1, 3), rows).tolist() == [[1, 1, 1], [0, 0, 0]]
    assert encoded("FP32", (1, 2, 3), [rows]).shape == (1, 2, 3)
    assert ".astype(np.float32)" in refused("FP32", (-1, 3), [np.zeros(3), np.zeros(3)])
    assert "shapes [2] and [3]" in refused("FP32", (-1, -1), [np.zeros(2), np.zeros(3)])
    images = [Image.new("RGB", (4, 2), "red")] * 3
    assert encoded("UINT8", (-1, 2, 4, 3), images)[2, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, device="meta"),
        torch.ones(2, 2).to_sparse(),
        torch.zeros(2).to(torch.float8_e5m2),
    ],
)
def test_torch_tensors_that_hold_no_plain_numbers(tensor):
    assert "is a torch.Tensor that cannot be read: " in refused("FP32", (-1,), tensor)


def test_bfloat16_of_torch_goes_bit_for_bit():
    bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16)  # every value there is
    tensor = bits.view(torch.bfloat16)
    array = encoded("BF16", (-1,), tensor)
    assert array.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(array.view(np.int16), bits.numpy())
    widened = encoded("FP32", (-1,), tensor)
    assert widened.view(np.int32).tolist() == tensor.float().view(torch.int32).tolist()
    assert encoded("BF16", (1,), torch.tensor(1.5, dtype=torch.bfloat16)).tolist() == [1.5]
    assert encoded("BF16", (3, 2), torch.zeros(2, 3, dtype=torch.bfloat16).T).shape == (3, 2)
    assert "ml_dtypes" not in refused("FP16", (-1,), tensor)


class OnDevice:
    """Memory of a GPU, as cupy and others show it: there is no GPU here to have it on."""

    dtype = np.dtype(np.float32)

    def __init__(self, device=(2, 1)):
        self.device = device

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **options):
        raise BufferError("numpy must not ask for memory that it cannot read")


class AsCupy(OnDevice):
    def get(self):
        return np.ones(2, np.float32)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")


class AsJax(OnDevice):
    def __array__(self, dtype=None, copy=None):
        return np.ones(2, np.float32)


class AsNumba:
    def __init__(self):
        self.__cuda_array_interface__ = {"shape": (2,), "typestr": "<f4", "data": (1 << 40, False)}

    def copy_to_host(self):
        return np.ones(2, np.float32)


class AsTorch(OnDevice):
    def detach(self):
        return self

    def cpu(self):
        return np.ones(2, np.float32)


@pytest.mark.parametrize("kind", [AsCupy, AsJax, AsNumba, AsTorch])
def test_memory_of_a_gpu_is_copied_by_its_own_library(kind):
    array = encoded("FP32", (-1,), kind())
    assert array.tolist() == [1, 1]
    assert ".astype(np.int64)" in refused("INT64", (-1,), [kind(), kind()])


def test_memory_of_a_gpu_that_nobody_copies():
    words = refused("FP32", (-1,), OnDevice())
    assert "OnDevice on cuda:1, which nosclient cannot copy to the host: do so before" in words
    assert ".cpu() in torch and .get() in cupy" in words
    assert "on device type 99:0" in refused("FP32", (-1,), OnDevice((99, 0)))

    class Refusing(AsCupy):
        get = None

    assert "(Implicit conversion" in refused("FP32", (-1,), Refusing())
    refused("BYTES", (-1,), OnDevice())


def test_images():
    colours = Image.new("RGB", (4, 2), (1, 2, 3))
    assert encoded("UINT8", (-1, -1, 3), colours).tolist() == [[[1, 2, 3]] * 4] * 2
    assert encoded("INT32", (2, 4), colours.convert("L")).dtype == np.int32
    assert encoded("FP32", (2, 4, 3), colours).dtype == np.float32
    assert "axis 2 must be 3" in refused("UINT8", (-1, -1, 3), colours.convert("RGBA"))
    assert ".convert('RGB')" in refused("UINT8", (-1, -1), colours.convert("P"))
    assert "holds an object of type Image; BYTES takes" in refused("BYTES", (-1,), colours)


def test_files_are_sent_as_their_bytes(tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"\xff\xd8\x00")
    assert encoded("BYTES", (1,), file).tolist() == [b"\xff\xd8\x00"]
    assert encoded("BYTES", (-1,), [file, "text", b"\0"]).tolist() == [
        b"\xff\xd8\x00",
        b"text",
        b"\0",
    ]
    missing = refused("BYTES", (1,), tmp_path / "absent.jpg")
    assert "names a file that cannot be read" in missing
    assert str(tmp_path / "absent.jpg") in missing
    assert str(tmp_path) in refused("BYTES", (1,), tmp_path)
    assert "Path objects" in refused("FP32", (1,), Path("absent.jpg"))


def test_torch_is_not_imported():
    code = (
        "import sys, numpy as np\n"
        "from nosclient import TensorInfo\n"
        "from nosclient._codec import encode\n"
        "from nosclient._model_info import Signature\n"
        "x = TensorInfo('x', 'FP32', (-1,))\n"
        "s = Signature('m', (), '', '', (x,), (), 0, False, '')\n"
        "class Exporter:\n"
        "    __dlpack__ = np.ones(2, np.float32).__dlpack__\n"
        "    __dlpack_device__ = np.ones(2, np.float32).__dlpack_device__\n"
        "assert encode(s, {'x': Exporter()})[0].array.tolist() == [1, 1]\n"
        "print([name for name in ('torch', 'PIL', 'cupy') if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
