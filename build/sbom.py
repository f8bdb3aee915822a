"""The bill of materials of a release, as CycloneDX JSON."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from bundled import Part
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL


def bill(name: str, version: str, commit: str, sha256: str, parts: Sequence[Part], seconds: int) -> str:
    """The text of the bill. ``sha256`` is that of the single file; ``seconds`` since 1970 are the date it bears."""
    program = Component(
        name="ckv",
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref="ckv",
        description=f"{name}, commit {commit}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        licenses=[DisjunctiveLicense(id="MIT")],
    )
    bom = Bom(components=[_component(part) for part in parts])
    # A number and a date of their own would make two builds of one commit differ.
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {commit} {sha256}")
    bom.metadata.timestamp = datetime.fromtimestamp(seconds, UTC)
    bom.metadata.component = program
    bom.register_dependency(program, list(bom.components))
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    return text + "\n"


def _component(part: Part) -> Component:
    space = "debian" if part.kind == "deb" else None
    url = PackageURL(part.kind, space, part.name.lower(), part.version)
    return Component(
        name=part.name,
        version=part.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(url),
        purl=url,
        licenses=[DisjunctiveLicense(name=part.licence)] if part.licence else [],
    )
