"""Images are built as root, with Debian's tools."""

import buildah
import pytest


def pytest_collection_modifyitems(items):
    reason = buildah.missing()
    for item in items:
        if item.get_closest_marker("images") and "docker_images" in item.nodeid and reason:
            item.add_marker(pytest.mark.skip(reason=reason))
