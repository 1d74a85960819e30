"""Models of every kind, proven once through one real Triton."""

import os
from pathlib import Path

import published_models as published
import pytest
import stateful_published as stateful

from nosbuild.prove import prove_served


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "prove":
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    published.words(folder)
    published.total(folder)
    published.lookup(folder, last=7)
    published.doubled(folder)
    published.counts_its_batch(folder)
    published.classifier(folder, "wrong", weights=published.SCORES * 1.01)
    published.classifier(folder, "cached", config=published.CACHED)
    published.classifier(folder, "never_joined", config="")
    published.own_metric(folder, "near", 0.999)
    published.own_metric(folder, "nearer_than_equal", 1.5)
    published.mislabelled(folder, "one_miss_of_six", 6)
    published.mislabelled(folder, "one_miss_of_ten", 10)
    both = f"{published.JOINED}\nversion_policy {{ all {{ }} }}"
    published.classifier(folder, "versions")
    wrong = {"weights": published.SCORES + 1, "version": 2, "config": both}
    published.classifier(folder, "versions", **wrong)
    stateful.running_mean(folder)
    stateful.running_mean(folder, "running_mean_direct", strategy="direct")
    stateful.running_mean(folder, "states_swapped", swapped=True)
    return folder


@pytest.fixture(scope="session")
def said():
    """What the proof told while it ran."""
    return []


@pytest.fixture(scope="session")
def proofs(repository, said):
    """Model and version -> its proof."""
    found = prove_served(repository, on_progress=said.append)
    return {(proof.model, proof.version): proof for proof in found}


@pytest.fixture(scope="session")
def command(command_line):
    """Runs the command line, wide enough that no line is broken."""

    def run(*arguments, cwd=None, **environment):
        environment = {**os.environ, "COLUMNS": "300", **environment}
        return command_line.run(*map(str, arguments), cwd=cwd or Path.cwd(), env=environment)

    return run
