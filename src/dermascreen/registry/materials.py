"""The bill of materials of a model, in CycloneDX: its weights, what it was trained from, and every package."""

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import AttachedText, HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dermascreen.artifacts.model.description import Start
from dermascreen.artifacts.model.exported import EXPORTED
from dermascreen.core.errors import MissingInputError

CODE = "dermascreen"
MATERIALS = Path("sbom.cdx.json")  # beside the weights of a registered model
LONGEST = 60  # characters of a licence's name; some packages put all its text there
SPDX = {  # what packages write for licences whose version they leave no doubt about
    "mit license": "MIT", "apache 2.0": "Apache-2.0", "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0", "2-clause bsd": "BSD-2-Clause", "2-clause bsd license": "BSD-2-Clause",
    "3-clause bsd license": "BSD-3-Clause", "new bsd": "BSD-3-Clause", "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
}  # fmt: skip


def licence_of(package: str) -> License | None:
    """What an installed package says of its licence: an SPDX expression if it can be read as one; None if nothing."""
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        return None
    told = installed.metadata.json
    if expression := told.get("license_expression"):
        return LicenseFactory().make_from_string(str(expression))
    text = str(told.get("license", ""))
    if 0 < len(text) <= LONGEST and "\n" not in text and text != "UNKNOWN":
        return LicenseFactory().make_from_string(SPDX.get(text.lower(), text))
    classified = [text.rpartition(" :: ")[2] for text in told.get("classifier", []) if text.startswith("License ::")]
    if classified:
        return LicenseFactory().make_from_string(" or ".join(SPDX.get(name.lower(), name) for name in classified))
    texts = (
        Path(str(file.locate())) for file in installed.files or () if re.match(r"(?i)licen[cs]e|copying", file.name)
    )
    if found := next((file for file in texts if file.is_file()), None):
        content = found.read_text(encoding="utf-8", errors="replace")
        return DisjunctiveLicense(name=f"as in {found.name}", text=AttachedText(content=content))
    return None


def in_words(licence: License | None) -> str:
    if licence is None:
        return "not known"
    return licence.value if isinstance(licence, LicenseExpression) else str(licence.id or licence.name)


def bill_of_materials(lock: Path, sha256: tuple[str, str], start: Start, images: str, licences: Iterable[str]) -> str:
    """The bill as JSON, of CycloneDX 1.6.

    Packages are those of `lock` that are meant for this machine; the ones that the model does not need have scope
    `excluded`.

    Parameters: `lock`, a requirements file with hashes; `sha256`, of the files WEIGHTS and EXPORTED; `start`, the
    weights that training started from; `images`, a
    sentence on the photographs and their rights; `licences`, of single photographs, where a table tells them.
    Raises MissingInputError if there is no lock.
    """
    packages: dict[str, Component] = {
        canonicalize_name(wanted.name): _package(wanted, hashes)
        for wanted, hashes in _locked(lock)
        if wanted.marker is None or wanted.marker.evaluate()
    }
    code = Component(
        name=CODE, version=distribution(CODE).version, type=ComponentType.LIBRARY, bom_ref=CODE, licenses=_known(CODE)
    )
    model = Component(
        name="models/weights.safetensors", type=ComponentType.MACHINE_LEARNING_MODEL, bom_ref="weights",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256[0])],
        description="The trained network; its terms follow from those of all that it was made from.",
    )  # fmt: skip
    exported = Component(
        name=str(EXPORTED), type=ComponentType.MACHINE_LEARNING_MODEL, bom_ref="network",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256[1])],
        description="The trained network as ONNX, which prediction runs.",
    )  # fmt: skip
    began = Component(
        name=start.source, type=ComponentType.MACHINE_LEARNING_MODEL, bom_ref="start",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=start.sha256)] if start.sha256 else [],
        licenses=[LicenseFactory().make_from_string(start.licence)] if start.licence else [],
        description="The weights that training started from.",
    )  # fmt: skip
    photographs = Component(
        name="photographs", type=ComponentType.DATA, bom_ref="photographs", description=images,
        licenses=[LicenseFactory().make_with_name(name) for name in sorted(set(licences))],
    )  # fmt: skip
    needs = {CODE: _needs(CODE, "")} | {name: _needs(name, "") for name in packages}
    reached = _reached(needs)
    for name, package in packages.items():
        package.scope = ComponentScope.REQUIRED if name in reached else ComponentScope.EXCLUDED
    bill = Bom(components=[code, exported, began, photographs, *packages.values()])
    bill.metadata.component = model
    bill.register_dependency(model, [exported, began, photographs, code])
    for name, component in (packages | {CODE: code}).items():
        bill.register_dependency(component, [packages[other] for other in sorted(needs[name] & packages.keys())])
    return make_outputter(bill, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


def _locked(lock: Path) -> Iterator[tuple[Requirement, list[str]]]:
    """Each package of a lock, and the sha256 of its files."""
    try:
        text = lock.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingInputError(lock) from None
    for line in text.replace("\\\n", " ").splitlines():
        wanted = re.split(r"\s#|\s--hash=", f" {line}")[0].strip()
        if wanted and not wanted.startswith("-"):
            yield Requirement(wanted), re.findall(r"--hash=sha256:(\w+)", line)


def _package(wanted: Requirement, hashes: list[str]) -> Component:
    name, version = canonicalize_name(wanted.name), next(iter(wanted.specifier)).version
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, bom_ref=f"{name}=={version}", licenses=_known(name),
        purl=PackageURL("pypi", name=name, version=version),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in hashes],
    )  # fmt: skip


def _known(package: str) -> list[License]:
    licence = licence_of(package)
    return [] if licence is None else [licence]


def _needs(package: str, extra: str) -> set[str]:
    """The packages that an installed one asks for on this machine, with those of one of its extras."""
    try:
        asked = map(Requirement, distribution(package).requires or [])
    except PackageNotFoundError:
        return set()
    found: set[str] = set()
    for wanted in asked:
        if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
            name = canonicalize_name(wanted.name)
            found |= {name}.union(*(_needs(name, of) for of in wanted.extras))
    return found


def _reached(needs: dict[str, set[str]]) -> set[str]:
    """All that the code needs, directly or not."""
    reached, new = {CODE}, needs[CODE]
    while new := new - reached:
        reached |= new
        new = set().union(*(needs.get(name, set()) for name in new))
    return reached
