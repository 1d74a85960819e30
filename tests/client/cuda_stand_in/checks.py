"""Checks of CUDA shared memory on the stand-in for its driver: ``python checks.py NAME URL``.

In a process of their own, where libcuda.so.1 is that of ``libcuda.c``.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys

import numpy as np
from gpu_side import GpuSide, allocations
from gpu_tensors import ByDLPack, ByInterface

from nosclient import AsyncClient, Client, DeadlineExceeded, InvalidInput, ServerError
from nosclient import _shared_lender as shared_lender
from nosclient._cuda_driver import CudaError, Device, missing
from nosclient._cuda_region import CudaMemory

SIZE = 1 << 19
X = np.random.default_rng(0).random(SIZE, np.float32)
NBYTES = X.nbytes


def late(client, x):
    return client.run("late", {"x": x, "seconds": [0.0]})["y"]


def served(url, mode):
    """A client, and the side of the server that has a GPU."""
    client = Client(url, deadline=30, shared_memory=mode)
    side = client._transports[0] = GpuSide(client._transports[0])
    return client, side


def regions(url):
    memory = CudaMemory(0)
    assert memory.room() == 64 << 20
    region = memory.make(2 << 20)
    region.fill(64, X[:1000])
    region.fill(8192, X[::7][:1000])  # not contiguous
    region.settle()
    np.testing.assert_array_equal(region.view(64, X.dtype, (10, 100), None).ravel(), X[:1000])
    np.testing.assert_array_equal(region.view(8192, X.dtype, (1000,), None), X[::7][:1000])
    assert region.view(0, X.dtype, (0, 3), None).shape == (0, 3)
    try:
        region.fill((2 << 20) - 8, X[:1000])
        raise AssertionError("beyond its end")
    except CudaError as error:
        assert "cuMemcpyHtoD_v2: invalid argument (1)" in str(error)
    assert allocations() == 1
    del region
    assert allocations() == 0
    for number in (2, -1):
        try:
            Device(number)
            raise AssertionError("there are two")
        except CudaError as error:
            assert "cuDeviceGet: invalid argument" in str(error)


def no_device(url):
    assert missing() == "cuInit: no CUDA-capable device is detected (100)"
    with Client(url, deadline=30, shared_memory="cuda") as client:
        try:
            late(client, X)
            raise AssertionError("there is none")
        except ServerError as error:
            assert "CUDA shared memory: cuInit: no CUDA-capable device" in error.message
        assert client.transport.kind == "wire"


def refused_by_the_server(url):
    """A real Triton that has no GPU."""
    x = ByInterface(X)
    with Client(url, deadline=30, shared_memory="auto") as client:
        np.testing.assert_array_equal(late(client, X), 2 * X)
        assert str(client.transport) == "system shared memory (tensors of 64 KiB and more)"
        for _ in range(3):
            np.testing.assert_array_equal(late(client, x), 2 * X)
        assert x.copies == 3
        assert client.transport.kind == "system"
        reason = client.transport.reason
        assert "CUDA shared memory: the server cannot map it: " in reason
        assert "register" in reason
        assert set(client.stats().traffic) == {"wire", "system"}
    assert allocations() == 1  # the tensor
    with Client(url, deadline=30, shared_memory="cuda") as client:
        for value in (X, x):
            try:
                late(client, value)
                raise AssertionError("it has no GPU")
            except ServerError as error:
                assert "CUDA shared memory: the server cannot map it: " in error.message
                assert 'shared_memory="auto" takes another way instead' in error.message
        assert client.transport.kind == "wire"


def refused_by_the_server_async(url):
    async def use():
        async with AsyncClient(url, deadline=30, shared_memory="auto") as client:
            answer = await client.run("late", {"x": ByInterface(X), "seconds": [0.0]})
            np.testing.assert_array_equal(answer["y"], 2 * X)
            return client.transport.reason

    assert "CUDA shared memory: the server cannot map it: " in asyncio.run(use())


def all_through_the_gpu(url):
    client, side = served(url, "cuda")
    kept = [late(client, X + n) for n in range(5)]
    assert str(client.transport) == "CUDA shared memory (tensors of 64 KiB and more)"
    assert len(side.mapped) == 2
    for n, y in enumerate(kept):
        np.testing.assert_array_equal(y, 2 * (X + n))
    x = ByDLPack(X, number=1)
    np.testing.assert_array_equal(late(client, x), 2 * X)
    assert x.copies == 0
    assert client.run("echo", {"fp32": [[1.0]]})["fp32_out"].item() == 1.0
    traffic = client.stats().traffic["cuda"]
    assert (traffic.sent, traffic.received) == (6 * NBYTES, 6 * NBYTES)
    assert allocations() == 5
    x.free()
    client.close()
    assert not side.mapped
    gc.collect()
    assert allocations() == 0
    kept[0][:] = 1  # the caller's own


def only_what_lies_there(url):
    client, side = served(url, "auto")
    for x in (ByDLPack(X), ByInterface(X, stream=77), ByInterface(X, version=2)):
        np.testing.assert_array_equal(late(client, x), 2 * X)
        assert x.copies == 0
        np.testing.assert_array_equal(late(client, X + 1), 2 * (X + 1))
    assert client.transport.kind == "cuda"
    assert client.transport.reason.startswith("tensors on a GPU; others: system shared memory (")
    assert len(side.mapped) == 1
    traffic = client.stats().traffic
    assert (traffic["cuda"].sent, traffic["cuda"].received) == (3 * NBYTES, 0)
    assert (traffic["system"].sent, traffic["system"].received) == (3 * NBYTES, 6 * NBYTES)
    client.close()
    assert not side.mapped


def other_tensors_go_by_the_host(url):
    client, side = served(url, "auto")
    for x in (ByInterface(X, strides=(-4,)), ByInterface(X, mask=object())):
        np.testing.assert_array_equal(late(client, x), 2 * X)
        assert x.copies == 1
    try:
        late(client, ByDLPack(X.astype(np.float64)))
        raise AssertionError("that loses something")
    except InvalidInput as error:
        assert "float64" in error.message
    small = ByDLPack(X[:8].reshape(2, 4))
    np.testing.assert_array_equal(client.run("echo", {"fp32": small})["fp32_out"], small.array)
    assert small.copies == 1
    assert not side.mapped
    client.close()


def one_item(url):
    client, side = served(url, "auto")
    echo = client.model("echo", outputs="fp32_out")
    for shape in ((SIZE,), (2, SIZE // 2)):
        x = ByDLPack(X.reshape(shape))
        np.testing.assert_array_equal(echo(fp32=x), x.array)
        assert x.copies == 0
    assert len(side.mapped) == 1
    client.close()


def a_server_that_was_started_again(url):
    client, side = served(url, "auto")
    x = ByDLPack(X)
    late(client, x)
    side.mapped.clear()
    np.testing.assert_array_equal(late(client, x), 2 * X)  # not through it
    assert x.copies == 1
    np.testing.assert_array_equal(late(client, x), 2 * X)
    assert x.copies == 1
    assert len(side.mapped) == 1
    assert allocations() == 3  # it might have been told to forget only some
    shared_lender._PATIENCE_SECONDS = 0.0
    late(client, x)
    gc.collect()
    assert allocations() == 2
    client.close()


def what_the_server_may_still_read(url):
    client, side = served(url, "cuda")
    late(client, X)
    first = set(side.mapped)
    side.is_late = True
    try:
        late(client, X)
        raise AssertionError("it was late")
    except DeadlineExceeded:
        side.is_late = False
    gc.collect()
    assert allocations() == 2  # not freed: it is mapped
    late(client, X)
    assert len(side.mapped) == 4
    shared_lender._PATIENCE_SECONDS = 0.0
    late(client, X)
    gc.collect()
    assert not first & set(side.mapped)
    assert allocations() == 2
    client.close()


def a_client_that_was_dropped(url):
    client, side = served(url, "cuda")
    late(client, X)
    side.is_late = True
    try:
        late(client, X)
        raise AssertionError("it was late")
    except DeadlineExceeded:
        left = set(side.mapped)
    del client
    gc.collect()
    assert allocations() == len(left) == 2  # mapped still
    client, other = served(url, "cuda")
    other.mapped.update(side.mapped)
    late(client, X)
    assert not left & set(other.mapped)
    gc.collect()
    assert allocations() == 2  # its own
    client.close()


def a_fork(url):
    memory = CudaMemory(0)
    region = memory.make(2 << 20)
    child = os.fork()
    if not child:
        del region
        told = "does not survive" in missing() and allocations() == 1
        os._exit(0 if told else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert allocations() == 1
    del region
    assert missing() == ""


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
