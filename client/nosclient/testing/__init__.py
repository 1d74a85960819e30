"""A server in the same process, for tests of code that calls one.

>>> server = FakeServer()
>>> @server.model(inputs={"text": "BYTES[-1,1]"}, outputs={"size": "INT64[-1,1]"}, max_batch_size=8)
... def measure(text):
...     return {"size": [[len(word)] for word in text.flat]}
>>> with server.client() as client:
...     client.run("measure", {"text": ["one", "three"]})["size"].tolist()
[[3], [5]]
"""

from nosclient.testing._declared import InvalidFake
from nosclient.testing._fake_model import FakeModel, FakeRequest
from nosclient.testing._fake_server import FakeServer

__all__ = ["FakeModel", "FakeRequest", "FakeServer", "InvalidFake"]

InvalidFake.__module__ = __name__  # tracebacks show where people import it from
