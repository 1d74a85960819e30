"""TensorRT's runtime as far as nosbuild calls it, for an engine that doubles its input.

Its memory is that of ``cuda_stand_in.c``. What the real package does not have is not here either:
test_engine_session.py compares the two.
"""

import ctypes
import enum
import math

__version__ = "10.13.3.9"


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class TensorLocation(enum.Enum):
    DEVICE = 0
    HOST = 1


def nptype(_):
    return "float32"


class Runtime:
    def __init__(self, logger):
        self._logger = logger

    def deserialize_cuda_engine(self, data):
        if data != b"doubles":
            self._logger.log(ILogger.Severity.ERROR, "magic number\n does not match")
            return None
        return ICudaEngine(self._logger)


class ICudaEngine:
    num_io_tensors = 2
    num_optimization_profiles = 2

    def __init__(self, logger):
        self._logger = logger

    def get_tensor_name(self, index):
        return "xy"[index]

    def get_tensor_mode(self, name):
        return {"x": TensorIOMode.INPUT, "y": TensorIOMode.OUTPUT}[name]

    def get_tensor_location(self, _):
        return TensorLocation.DEVICE

    def get_tensor_dtype(self, _):
        return "FLOAT"

    def get_tensor_shape(self, _):
        return (-1, 3)

    def get_tensor_profile_shape(self, _, profile):
        return [[(1, 3), (2, 3), (8, 3)], [(16, 3), (16, 3), (16, 3)]][profile]

    def create_execution_context(self):
        return IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine):
        self._engine = engine
        self._profile = 0
        self._shape = None
        self._addresses = {}

    def set_optimization_profile_async(self, profile, stream):
        self._profile = profile
        return bool(stream)

    def set_input_shape(self, name, shape):
        low, _, high = self._engine.get_tensor_profile_shape(name, self._profile)
        self._shape = shape
        return all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))

    def get_tensor_shape(self, _):
        return self._shape

    def set_tensor_address(self, name, address):
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        count = math.prod(self._shape)
        x, y = ((ctypes.c_float * count).from_address(self._addresses[name]) for name in "xy")
        for index, value in enumerate(x):
            if value == 666:
                self._engine._logger.log(ILogger.Severity.ERROR, "an illegal value")
                return False
            y[index] = 2 * value
        return bool(stream)
