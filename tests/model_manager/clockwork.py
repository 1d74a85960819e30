"""A manager on a clock and a server that the test moves."""

import json
from dataclasses import dataclass, field

from nosbuild.inside_triton.model_manager.nos_model_manager.catalogue import Catalogue
from nosbuild.inside_triton.model_manager.nos_model_manager.crashes import Crash
from nosbuild.inside_triton.model_manager.nos_model_manager.demands import Waiter
from nosbuild.inside_triton.model_manager.nos_model_manager.looking import Seen
from nosbuild.inside_triton.model_manager.nos_model_manager.manager import Manager
from nosbuild.inside_triton.model_manager.nos_model_manager.refusal import Refusal
from nosbuild.inside_triton.model_manager.nos_model_manager.sizes import Sizes, host, told


@dataclass
class Bench:
    """``models``: name -> (bytes, what it calls); jobs wait until the test ends them."""

    models: dict
    budget: int
    residency: float = 2.0
    now: float = 1000.0
    jobs: list = field(default_factory=list)
    begun: list = field(default_factory=list)
    loaded: dict = field(default_factory=dict)
    """Model -> bytes, as the server has them."""
    used: dict = field(default_factory=dict)
    """Model -> when it last answered."""
    usage: dict = field(default_factory=dict)
    """Model -> Usage, as the server counts it."""
    sizes: dict = field(default_factory=dict)
    """Model -> bytes of its processes, where the estimate is wrong."""
    most: int = 0
    """The most that was in the server at once."""
    idle_seconds: dict = field(default_factory=dict)
    broken: dict = field(default_factory=dict)
    asked: dict = field(default_factory=dict)
    """Model -> its last Job."""
    configs: dict = field(default_factory=dict)
    loaded_beside: dict = field(default_factory=dict)
    """Model -> bytes of workers that should have ended."""
    others: dict = field(default_factory=dict)
    """Model -> LOADING or UNLOADING, where somebody else does it."""

    def __post_init__(self):
        self.manager = self.new_manager()

    def new_manager(self):
        entries = {
            name: {
                **told(_sizes(size)),
                "calls": calls,
                "idle_seconds": self.idle_seconds.get(name, 0),
                "config": self.configs.get(name),
            }
            for name, (size, calls) in self.models.items()
        }
        return Manager(
            Catalogue(entries, self.broken),
            _sizes(self.budget),
            self._begin,
            lambda: self.now,
            self.residency,
        )

    def _begin(self, job):
        self.jobs.append((job.kind, job.name))
        if job.kind != "look":
            self.begun.append((job.kind, job.name))
            self.asked[job.name] = job

    def size(self, name):
        return self.sizes.get(name, self.models[name][0])

    def ask(self, **request):
        """Asks; the list gets the answer once there is one."""
        answers = []
        self.manager.ask(json.dumps(request), Waiter(answers.append, 0.0))
        self.step()
        return answers

    def ensure(self, model, **more):
        return self.ask(operation="ensure", model=model, **more)

    def crash(self, name, *, ended=1, survivors=0):
        """Workers end by themselves; whether the manager takes that for told."""
        crash = Crash("was ended", ("a line",), ended, survivors)
        is_told = self.manager.crashed(name, lambda: crash)
        if is_told and ("restart", name) in self.jobs:
            self.loaded.pop(name)
            self.manager.taken_down(name)
        self.step()
        return is_told

    def crash_and_restart(self, name, times=2):
        """As often as a model is loaded again at once."""
        for _ in range(times):
            self.crash(name)
            self.end("restart", name)

    def step(self):
        """Lets the manager act; looks at the server end at once, other jobs do not."""
        self.manager.step()
        while ("look", "") in self.jobs:
            self.jobs.remove(("look", ""))
            idle = {
                name: self.now - last for name, last in self.used.items() if name in self.loaded
            }
            states = {
                name: "READY" if name in self.loaded else "UNAVAILABLE" for name in self.models
            }
            for job, name in self.jobs:
                states[name] = "LOADING" if job in ("load", "restart") else "UNLOADING"
            states.update(self.others)
            memory = {name: [_sizes(size)] for name, size in self.loaded.items() if size}
            for name, sizes in self.loaded_beside.items():
                memory[name] = memory.get(name, []) + [_sizes(size) for size in sizes]
            usage = {name: self.usage[name] for name in self.loaded if name in self.usage}
            self.manager.looked(Seen(states, idle, memory, usage))
            self.manager.step()
        for waiter, answer in self.manager.answers():
            waiter.send(answer)

    def end(self, job, name, *, failure=""):
        """Ends a job that the manager has begun."""
        self.jobs.remove((job, name))
        is_load = job in ("load", "restart")
        if is_load and failure:
            self.manager.not_loaded(name, failure)
        elif is_load:
            self.loaded[name] = self.size(name)
            self.most = max(self.most, sum(_sizes(size)["host"] for size in self.loaded.values()))
            self.manager.loaded(name, 1.0, [_sizes(self.loaded[name])])
        else:
            self.loaded.pop(name, None)
            self.manager.unloaded(name, failure, is_stuck=job == "drop")
        self.step()

    def settle(self):
        """Ends all jobs, and those that follow from them."""
        self.step()
        while self.jobs:
            self.end(*self.jobs[0])

    def wait(self, seconds):
        """Time passes in steps, as the manager's alarms would have it; jobs end at once."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.25)
            self.settle()

    def use(self, *models):
        """Each answers a request, a tenth of a second after the other."""
        for name in models:
            self.now += 0.1
            self.used[name] = self.now

    def load(self, *models):
        for name in models:
            (answer,) = self.ensured(name)
            assert answer["state"] == "ready"

    def ensured(self, name):
        answers = self.ensure(name)
        self.settle()
        return answers

    def status(self):
        (answer,) = self.ask(operation="status")
        return answer


def _sizes(size):
    """Of main memory, or those of several memories."""
    return Sizes(size) if isinstance(size, dict) else host(size)


def refused(answers):
    """Code and text of the one answer, which is a refusal."""
    (answer,) = answers
    assert isinstance(answer, Refusal), answer
    return answer.code, answer.text
