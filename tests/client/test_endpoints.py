"""Which server a request goes to, and whether it is sent again; on a clock of the test's own."""

from __future__ import annotations

import pytest

from nosclient import (
    DeadlineExceeded,
    InvalidInput,
    ModelLoadFailed,
    ModelNotFound,
    ModelNotReady,
    NosClientError,
    ServerUnavailable,
    Unauthorized,
)
from nosclient._address import parse_addresses
from nosclient._call import Call, Deadline, Everywhere, Home, Lost, Pause, SequenceStep
from nosclient._endpoints import LONGEST_PROBE_SECONDS, LONGEST_REST_SECONDS, Endpoints
from nosclient._retry import RetryBudget
from nosclient._routing import Routing
from nosclient.testing import FakeServer


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_requests_go_round_and_to_who_has_the_fewest(clock):
    endpoints = Endpoints(3, clock)
    first = [endpoints.pick() for _ in range(6)]
    assert sorted(first[:3]) == [0, 1, 2]
    assert first[:3] == first[3:]
    endpoints.sent(0)
    endpoints.sent(2)
    assert {endpoints.pick() for _ in range(6)} == {1}
    endpoints.sent(1)
    endpoints.done(2)
    assert {endpoints.pick() for _ in range(6)} == {2}


def test_a_lost_server_rests_longer_each_time_and_one_probes_it(clock):
    endpoints = Endpoints(2, clock)
    rests = []
    for _ in range(8):
        endpoints.failed(0)
        endpoints.failed(0)  # the same loss, seen by another request
        began = clock.now
        while endpoints.pick() == 1:
            clock.now += 0.05
        rests.append(clock.now - began)
        assert endpoints.state(0) == "is to be probed"
        assert endpoints.state(0) == "rests"  # for who comes second
        assert {endpoints.pick() for _ in range(4)} == {1}
    assert rests[0] < 0.5
    assert rests == sorted(rests[:6]) + rests[6:]
    assert max(rests) <= LONGEST_REST_SECONDS * 1.2 + 0.1
    clock.now += LONGEST_PROBE_SECONDS + 0.1  # who asked it never came back
    assert endpoints.state(0) == "is to be probed"
    endpoints.worked(0)
    assert {endpoints.pick() for _ in range(4)} == {0, 1}


def test_where_all_rest_the_one_whose_rest_ends_first_is_asked(clock):
    endpoints = Endpoints(2, clock)
    endpoints.failed(1)
    clock.now += 0.1
    endpoints.failed(0)
    assert {endpoints.pick() for _ in range(4)} == {1}
    assert endpoints.living() == [0, 1]
    assert not endpoints.has_other({0})


def test_a_model_that_one_server_lacks_is_not_asked_for_there(clock):
    endpoints = Endpoints(2, clock)
    endpoints.lacks(0, "m")
    assert {endpoints.pick("m") for _ in range(4)} == {1}
    assert {endpoints.pick("other") for _ in range(4)} == {0, 1}
    clock.now += 5
    assert {endpoints.pick("m") for _ in range(4)} == {0, 1}


def test_the_budget_bounds_retries_to_a_fifth(clock):
    budget = RetryBudget(clock)
    reserve = sum(budget.withdraw() for _ in range(1000))
    assert reserve == RetryBudget.RESERVE
    retries = 0
    for _ in range(1000):
        budget.deposit()
        retries += budget.withdraw()
    assert retries == pytest.approx(200, abs=1)
    clock.now += 10  # a client that sends little has some again
    assert sum(budget.withdraw() for _ in range(1000)) == pytest.approx(10, abs=1)


class Servers:
    """Answers calls by number of the server; what is an error is raised."""

    def __init__(self, *answers, retries=2):
        self.answers = list(answers)
        urls = [f"grpc://127.0.0.1:{port}" for port in range(1, len(answers) + 1)]
        self.routing = Routing(parse_addresses(urls), retries)
        self.asked: list[tuple[str, int]] = []
        self.paused = 0.0

    def run(self, step):
        def operation():
            return (yield step)

        routed = self.routing.routed(operation())
        try:
            step = next(routed)
            while True:
                if isinstance(step, Pause):
                    self.paused += step.seconds
                    step = routed.send(None)
                    continue
                self.asked.append((step.method, step.endpoint))
                answer = self.answers[step.endpoint]
                if callable(answer):
                    answer = answer(step)
                if isinstance(answer, NosClientError):
                    step = routed.throw(answer)
                else:
                    step = routed.send(answer)
        except StopIteration as end:
            return end.value


def refused():
    return ServerUnavailable("refused", was_sent=False)


def test_one_server_is_asked_again_and_given_up_within_a_second():
    servers = Servers(refused())
    with pytest.raises(ServerUnavailable, match="refused"):
        servers.run(Call("infer", None, "m"))
    assert servers.asked == [("infer", 0)] * 3
    assert 0 < servers.paused < 1


def test_retries_can_be_switched_off():
    servers = Servers(refused(), {"y": 1}, retries=0)
    outcomes = []
    for _ in range(2):
        try:
            outcomes.append(servers.run(Call("infer", None, "m")))
        except ServerUnavailable:
            outcomes.append("refused")
    assert "refused" in outcomes
    assert len(servers.asked) == 2


def test_another_server_takes_over_at_once():
    servers = Servers(refused(), ServerUnavailable("lost"), refused(), refused(), {"y": 1})
    for _ in range(5):
        assert servers.run(Call("infer", None, "m")) == {"y": 1}
    assert servers.paused == 0
    # Each lost server was met once; then they rest.
    assert len(servers.asked) <= 5 + 4


@pytest.mark.parametrize(
    "error",
    [
        ModelNotReady("queue full"),
        InvalidInput("no"),
        DeadlineExceeded("late"),
        Unauthorized("no key"),
    ],
)
def test_what_is_no_loss_is_not_sent_again(error):
    servers = Servers(error, error)
    with pytest.raises(type(error)):
        servers.run(Call("infer", 5.0, "m"))
    assert len(servers.asked) == 1
    assert servers.paused == 0


@pytest.mark.parametrize(
    "call",
    [
        Call("load_model", None, "m"),
        Call("unload_model", None, "m"),
        Call("infer", None, "m", sequence=SequenceStep(1, True, False), home=Home()),
    ],
)
def test_what_changes_the_server_is_sent_again_only_if_it_never_left(call):
    servers = Servers(ServerUnavailable("lost with the request"))
    with pytest.raises(ServerUnavailable):
        servers.run(call)
    assert len(servers.asked) == 1
    answers = iter([refused(), "done"])
    servers = Servers(lambda _: next(answers))
    assert servers.run(call) == "done"
    assert len(servers.asked) == 2


def test_no_pause_goes_beyond_the_deadline():
    servers = Servers(refused())
    with pytest.raises(ServerUnavailable):
        servers.run(Call("infer", 0.01, "m"))
    assert servers.paused == 0


def test_a_sequence_stays_where_it_began():
    home = Home()
    servers = Servers(refused(), {"y": 1})
    for number in range(4):
        step = SequenceStep(7, number == 0, False)
        assert servers.run(Call("infer", None, "m", sequence=step, home=home)) == {"y": 1}
    assert home.endpoint == 1
    servers.answers = [{"y": 2}, refused()]
    with pytest.raises(ServerUnavailable):
        servers.run(Call("infer", None, "m", sequence=SequenceStep(7, False, False), home=home))
    assert servers.asked[-1][1] == 1


def test_a_lost_stream_may_begin_again_elsewhere():
    home = Home(0)
    servers = Servers({}, {})
    lost = Lost(home, ServerUnavailable("lost"), 0, Deadline(None))
    assert servers.run(lost) is True
    assert home.endpoint is None
    assert servers.paused == 0
    assert servers.run(Call("stream_infer", None, "m", home=home)) == {}
    assert home.endpoint == 1
    assert servers.run(Lost(home, ServerUnavailable("lost"), 2, Deadline(None))) is False


def test_a_model_is_looked_for_at_each_server_once():
    missing = ModelNotFound("not here")
    servers = Servers(missing, missing, missing)
    with pytest.raises(ModelNotFound):
        servers.run(Call("infer", None, "m"))
    assert sorted(number for _, number in servers.asked) == [0, 1, 2]
    servers = Servers(missing, {"y": 1})
    for _ in range(10):
        assert servers.run(Call("infer", None, "m")) == {"y": 1}
    assert len(servers.asked) <= 11


def test_a_server_is_back_only_once_it_says_that_it_is_ready():
    ready = [False]

    def back(step):
        return ready[0] if step.method == "is_server_ready" else {"y": 0}

    servers = Servers(back, {"y": 1})
    clock = servers.routing._endpoints._clock = Clock()
    servers.routing._endpoints.failed(0)
    for is_ready in (False, True):
        ready[0] = is_ready
        clock.now += 60
        answers = [servers.run(Call("infer", 5.0, "m"))["y"] for _ in range(6)]
        assert (0 in answers) is is_ready
    assert servers.asked.count(("is_server_ready", 0)) == 2


def test_a_server_that_let_a_deadline_pass_is_asked_before_it_gets_more():
    def hangs(step):
        return DeadlineExceeded("hangs")

    servers = Servers(hangs, {"y": 1})
    outcomes = []
    for _ in range(20):
        try:
            outcomes.append(servers.run(Call("infer", 5.0, "m"))["y"])
        except DeadlineExceeded:
            outcomes.append("late")
    assert outcomes.count("late") == 1
    assert servers.asked.count(("infer", 0)) == 1
    assert servers.asked.count(("is_server_ready", 0)) == 1  # and then it rests


@pytest.mark.parametrize("is_ready", [True, False])
def test_a_slow_model_takes_no_server_out(is_ready):
    """Nor does one that answers that it is not ready, as with a model that failed to load."""

    def slow(step):
        return is_ready if step.method == "is_server_ready" else DeadlineExceeded("slow")

    servers = Servers(slow, slow)
    for number in range(12):
        with pytest.raises(DeadlineExceeded):
            servers.run(Call("infer", 5.0, "m"))
        assert len([each for each in servers.asked if each[0] == "infer"]) == number + 1
    assert servers.asked.count(("infer", 0)) == servers.asked.count(("infer", 1)) == 6
    assert servers.asked.count(("is_server_ready", 0)) == 5


def test_short_deadlines_take_no_server_out(caplog):
    """Neither had the time to answer the question; each is asked again, and gets requests."""
    servers = Servers(DeadlineExceeded("slow"), DeadlineExceeded("slow"))
    for _ in range(12):
        with pytest.raises(DeadlineExceeded):
            servers.run(Call("infer", 0.02, "m"))
    assert not any(server.failures for server in servers.routing._endpoints._servers)
    assert not caplog.records
    assert len([each for each in servers.asked if each[0] == "infer"]) == 12


def test_one_asks_the_server_that_may_hang_and_the_others_go_elsewhere(clock):
    endpoints = Endpoints(2, clock)
    endpoints.doubt(0)
    assert endpoints.state(0) == "is to be probed"
    assert endpoints.state(0) == "rests"
    assert {endpoints.pick() for _ in range(4)} == {1}
    assert not endpoints.has_other({1})
    assert endpoints.worked(0) is False
    assert endpoints.state(0) == "works"
    assert {endpoints.pick() for _ in range(4)} == {0, 1}


def test_where_all_are_being_asked_a_request_does_not_wait_for_that():
    servers = Servers({"y": 0}, {"y": 1})
    endpoints = servers.routing._endpoints
    for number in range(2):
        endpoints.doubt(number)
        assert endpoints.state(number) == "is to be probed"  # by somebody else
    assert servers.run(Call("infer", 5.0, "m"))["y"] in (0, 1)


def test_a_lost_server_is_told_once_and_so_is_its_return(caplog):
    lost = [True]

    def first(step):
        if lost[0]:
            return refused()
        return True if step.method == "is_server_ready" else {"y": 0}

    servers = Servers(first, {"y": 1})
    clock = servers.routing._endpoints._clock = Clock()
    for _ in range(20):
        servers.run(Call("infer", 5.0, "m"))
        clock.now += 3
    lost[0] = False
    for _ in range(20):
        servers.run(Call("infer", 5.0, "m"))
        clock.now += 3
    told = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [
        ("nosclient", "WARNING", "grpc://127.0.0.1:1 is given no requests for now: refused"),
        ("nosclient", "WARNING", "grpc://127.0.0.1:1 answers again, and is given requests"),
    ]
    caplog.clear()
    with pytest.raises(ServerUnavailable):
        Servers(refused()).run(Call("infer", 5.0, "m"))
    assert not caplog.records


def test_readiness_of_several_servers():
    question = Call("is_server_ready", 2.0)
    assert Servers(True, True).run(question) is True
    assert Servers(True, False).run(question) is False
    assert Servers(True, refused()).run(question) is True
    with pytest.raises(ServerUnavailable):
        Servers(refused(), refused()).run(question)


def load_at(home):
    yield Call("load_model", 5.0, "m", home=home)


EVERYWHERE = Everywhere("load_model", load_at)


def test_models_are_loaded_everywhere_and_an_error_tells_where_not():
    servers = Servers(None, None, None)
    servers.run(EVERYWHERE)
    assert servers.asked == [("load_model", 0), ("load_model", 1), ("load_model", 2)]
    servers = Servers(None, ModelLoadFailed("no weights"), None)
    with pytest.raises(ModelLoadFailed) as caught:
        servers.run(EVERYWHERE)
    assert len(servers.asked) == 3
    assert str(caught.value) == (
        "grpc://127.0.0.1:2: no weights; load_model was done at grpc://127.0.0.1:1, "
        "grpc://127.0.0.1:3"
    )


def test_counters_of_all_servers_that_live_are_collected():
    servers = Servers({"model_stats": [1]}, refused(), {"model_stats": [2, 3]})
    call = Call("get_inference_statistics", 5.0, "m")
    assert servers.run(call) == {"model_stats": [1, 2, 3]}
    with pytest.raises(ServerUnavailable):
        Servers(refused(), refused()).run(call)


def test_inferences_that_go_well_fill_the_budget():
    server = FakeServer()

    @server.model(inputs={"x": "FP32[1]"}, outputs={"y": "FP32[1]"})
    def same(x):
        return {"y": x}

    with server.client() as client:
        for _ in range(1000):
            client.run("same", {"x": [1.0]})
        assert client._routing._budget._tokens > RetryBudget.RESERVE + 100
