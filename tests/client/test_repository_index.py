"""Who tells a client what a server has: the server, or its model manager where it does not."""

import json

import numpy as np
import pytest

from nosclient import ModelNotFound, ModelNotReady, NosClientError, ServerUnavailable, Unauthorized
from nosclient._address import parse_addresses
from nosclient._call import Deadline, Home
from nosclient._repository_index import RepositoryIndex
from nosclient._routing import Routing

ROWS = [{"name": "a", "version": "1", "state": "READY"}]
REFUSED = Unauthorized("lets only who has the key 'k' do that")
NEVER = ModelNotFound("Request for unknown model: 'model_manager' is not found")
AWAY = ModelNotFound("Request for unknown model: 'model_manager' has no available versions")


def answer(rows=ROWS):
    return {"answer": np.array([json.dumps({"models": rows}).encode()], dtype=np.object_)}


class Servers:
    """``index`` and ``manager`` of each: what it answers; an error is raised."""

    def __init__(self, *answers):
        self.answers = [dict(zip(("index", "manager"), pair, strict=True)) for pair in answers]
        self.urls = [f"grpc://127.0.0.1:{number}" for number in range(1, len(answers) + 1)]
        self.routing = Routing(parse_addresses(self.urls), 0)
        self.repository = RepositoryIndex(len(answers))
        self.asked = []

    def read(self, number=None):
        """The names, and whom it was asked for them."""
        self.asked = []
        operation = self.repository.read(Deadline(5.0), Home(number))
        routed = self.routing.routed(operation)
        try:
            call = next(routed)
            while True:
                what = "manager" if call.method == "infer" else "index"
                self.asked.append((call.endpoint, what))
                found = self.answers[call.endpoint][what]
                is_error = isinstance(found, NosClientError)
                call = routed.throw(found) if is_error else routed.send(found)
        except StopIteration as end:
            return [row.name for row in end.value], self.asked


def test_a_server_that_tells_it_is_not_asked_otherwise():
    servers = Servers((ROWS, answer([])))
    for _ in range(2):
        assert servers.read() == (["a"], [(0, "index")])


def test_a_server_that_refuses_it_is_asked_through_its_manager_from_then_on():
    servers = Servers((REFUSED, answer()))
    assert servers.read() == (["a"], [(0, "index"), (0, "manager")])
    for number in (None, 0):
        assert servers.read(number) == (["a"], [(0, "manager")])


@pytest.mark.parametrize("manager", [NEVER, Unauthorized("inference is restricted, too")])
def test_a_server_that_refuses_it_and_has_no_manager_gives_its_own_error(manager):
    servers = Servers((REFUSED, manager))
    for _ in range(2):
        with pytest.raises(Unauthorized) as caught:
            servers.read()
        assert caught.value is REFUSED
        assert servers.asked == [(0, "index"), (0, "manager")]


def test_a_manager_that_is_loaded_again_is_waited_for():
    servers = Servers((REFUSED, AWAY))
    with pytest.raises(ModelNotReady, match="ask again"):
        servers.read()
    servers.answers[0]["manager"] = answer()
    servers.read()
    servers.answers[0]["manager"] = AWAY
    with pytest.raises(ModelNotReady, match="ask again"):
        servers.read()
    assert servers.asked == [(0, "manager")]


def test_a_server_that_was_replaced_by_one_without_a_manager_is_asked_itself():
    servers = Servers((REFUSED, answer()))
    servers.read()
    servers.answers[0] = {"index": ROWS, "manager": NEVER}
    assert servers.read() == (["a"], [(0, "manager"), (0, "index")])
    assert servers.read() == (["a"], [(0, "index")])


def test_what_is_wrong_with_the_connection_is_no_refusal():
    servers = Servers((ServerUnavailable("lost"), answer()))
    with pytest.raises(ServerUnavailable):
        servers.read()
    assert servers.asked == [(0, "index")]


def test_of_several_servers_each_is_remembered():
    servers = Servers((REFUSED, answer([{"name": "b"}])), (ROWS, NEVER))
    assert servers.read(0) == (["b"], [(0, "index"), (0, "manager")])
    assert servers.read(1) == (["a"], [(1, "index")])
    assert servers.read(0) == (["b"], [(0, "manager")])
    for _ in range(3):  # any will do, but one that refuses it is not asked itself
        names, asked = servers.read()
        assert (0, "index") not in asked
        assert names in (["a"], ["b"])
    assert servers.read(0) == (["b"], [(0, "manager")])
