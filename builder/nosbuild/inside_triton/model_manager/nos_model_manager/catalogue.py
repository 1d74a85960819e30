"""The models that may be loaded, and what each of them calls: data from whoever started the server.

    {"ocr": {"calls": ["detect", "read"], "bytes": 0, "gpu_bytes": {"0": 0}, "idle_seconds": 0,
             "config": {...}, "is_trial": false}, ...}

``bytes`` and ``gpu_bytes`` are estimates, until the model was loaded once. ``idle_seconds``: how
long its callers may pause and still count on its state. ``config``: Triton's ModelConfig as JSON,
with which the model is loaded, so that what is written to its config.pbtxt later is not served
before it is made known here; null: whatever the file says. ``is_trial``: a version that is to show
whether it works: it is not loaded again once a worker of it has ended.
"""

import difflib

from .overrides import instances_of, is_ensemble, versions_of
from .refusal import NOT_FOUND, UNAVAILABLE, Refusal
from .sizes import read, told


class Catalogue:
    """Every model by name.

    Args:
        entries: as above; a value that is left out is empty or 0.
        broken: model -> why it must not be loaded.
    """

    def __init__(self, entries, broken=None):
        self._entries = {}
        self._added = set()
        self._broken = dict(broken or {})
        for name, entry in entries.items():
            self.add(name, entry)
        self._added.clear()  # all of these are there from the start

    def add(self, name, entry):
        """A model that is new, or has changed."""
        self._entries[name] = {
            "calls": [str(called) for called in entry.get("calls", ())],
            "sizes": read(entry),
            "idle_seconds": max(0.0, float(entry.get("idle_seconds", 0))),
            "config": entry.get("config"),
            "is_trial": entry.get("is_trial") is True,
        }
        self._broken.pop(name, None)
        self._added.add(name)

    def names(self):
        """All that may be loaded, sorted."""
        return sorted(self._entries)

    def __contains__(self, name):
        return name in self._entries

    def estimate(self, name):
        """Sizes, before it was ever loaded."""
        return self._entries[name]["sizes"]

    def idle_seconds(self, name):
        return self._entries[name]["idle_seconds"]

    def config(self, name):
        """Triton's, as JSON-able data; None: that of the file."""
        return self._entries[name]["config"]

    def instances(self, name):
        """Of its config; 0 where there is no telling."""
        return instances_of(self._entries[name]["config"] or {})

    def versions(self, name):
        """How many are served at once; 0 where there is no telling."""
        return versions_of(self._entries[name]["config"] or {})

    def is_trial(self, name):
        return self._entries[name]["is_trial"]

    def is_ensemble(self, name):
        return is_ensemble(self._entries[name]["config"] or {})

    def remove(self, name):
        """It is no model of this server any more."""
        del self._entries[name]
        self._added.discard(name)

    def set_config(self, name, config):
        """From now on it is loaded with that; None: as its file says then."""
        self._entries[name]["config"] = config
        self._added.add(name)

    def added(self):
        """Entries of what was made known, or has changed, since the start."""
        return {
            name: {
                **{key: entry[key] for key in ("calls", "idle_seconds", "config", "is_trial")},
                **told(entry["sizes"]),
            }
            for name, entry in self._entries.items()
            if name in self._added
        }

    def calls(self, name):
        """What it calls itself; models that are not here are for Triton to judge."""
        return [called for called in self._entries[name]["calls"] if called in self._entries]

    def callers(self, name):
        """Who calls it, directly."""
        return [other for other in self._entries if name in self._entries[other]["calls"]]

    def closure(self, name):
        """The model and all that it calls, what is called first."""
        order = []
        open_ones = set()

        def visit(one):
            if one in order or one in open_ones:
                return
            open_ones.add(one)
            for called in self.calls(one):
                visit(called)
            order.append(one)

        visit(name)
        return order

    def require(self, name):
        """Refuse what is not here.

        Raises:
            Refusal: with the nearest names.
        """
        if name in self._broken:
            raise Refusal(UNAVAILABLE, f"model {name!r} must not be loaded: {self._broken[name]}")
        if name in self._entries:
            return
        raise Refusal(NOT_FOUND, f"there is no model {name!r}; {self._instead_of(name)}")

    def _instead_of(self, name):
        by_lower = {known.lower(): known for known in self._entries}
        near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
        if near:
            return "did you mean " + " or ".join(repr(by_lower[word]) for word in near) + "?"
        return "there are: " + (", ".join(self.names()) or "none")
