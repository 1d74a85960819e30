"""Images are built and run only where they are asked for: minutes, root, and a package index."""

import buildah
import pytest


def pytest_collection_modifyitems(config, items):
    asked = "images" in config.option.markexpr
    reason = buildah.missing() if asked else "make images-check builds and runs images"
    for item in items:
        if item.get_closest_marker("images") and reason:
            item.add_marker(pytest.mark.skip(reason=reason))
