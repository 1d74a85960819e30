"""Folders of Python packages and dpkg's status go in; one CycloneDX 1.5 JSON file comes out.

Run while an image is made, by a Python that has cyclonedx-python-lib. The file's name ends in
``.cdx.json``, by which syft and others find it in the image.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot5
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

_DISTRIBUTION = "debian-12"


def main() -> None:
    """The script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="of the image")
    parser.add_argument("--version", default="", help="of the image")
    parser.add_argument(
        "--packages", type=Path, action="append", default=[], help="folder, searched to its depth"
    )
    parser.add_argument("--dpkg", type=Path, help="dpkg's status file")
    parser.add_argument("--triton", help="version of the server that lies in one of the packages")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()

    bom = Bom()
    bom.metadata.component = Component(
        name=asked.name,
        version=asked.version or None,
        type=ComponentType.CONTAINER,
        bom_ref="image",
    )
    found = [*_python(asked.packages), *(_debian(asked.dpkg) if asked.dpkg else ())]
    if asked.triton:
        found.append(_library(PackageURL("generic", "nvidia", "tritonserver", asked.triton)))
    for component in {str(one.purl): one for one in found}.values():
        bom.components.add(component)
    bom.register_dependency(bom.metadata.component, list(bom.components))
    text = JsonV1Dot5(bom).output_as_string(indent=1)
    if wrong := JsonStrictValidator(SchemaVersion.V1_5).validate_str(text):
        raise SystemExit(f"the SBOM is not valid: {wrong}")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(text)
    print(f"{asked.out}: {len(bom.components)} packages")


def _python(folders: list[Path]) -> Iterator[Component]:
    places = {path.parent for folder in folders for path in folder.rglob("*.dist-info")}
    for one in importlib.metadata.distributions(path=[str(place) for place in sorted(places)]):
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
        yield _library(PackageURL("pypi", name=name, version=one.version))


def _debian(status: Path) -> Iterator[Component]:
    for entry in status.read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture|Status): (.*)$", entry, re.M))
        if fields.get("Status") == "install ok installed":
            yield _library(
                PackageURL(
                    "deb",
                    "debian",
                    fields["Package"],
                    fields["Version"],
                    {"arch": fields["Architecture"], "distro": _DISTRIBUTION},
                )
            )


def _library(purl: PackageURL) -> Component:
    return Component(
        name=purl.name,
        version=purl.version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=purl.to_string(),
    )


if __name__ == "__main__":
    main()
