"""What the build leaves of botocore's descriptions says of the calls that are made what the whole of it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore
import botocore.session
import pytest
from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

import package

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.session import Session

REGIONS = ("us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1")
SERVICES = sorted(package.services(package.sources()))


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with botocore, as it is shipped."""
    directory = tmp_path_factory.mktemp("layer")
    shutil.copytree(Path(botocore.__file__).parent / "data", directory / "botocore" / "data", ignore=_all_but(SERVICES))
    package.trim(directory, package.sources())
    return directory / "botocore" / "data"


def _all_but(services: list[str]) -> Any:
    """For the copy: the descriptions of the others are large, and not looked at."""

    def ignored(directory: str, names: list[str]) -> set[str]:
        is_top = Path(directory).name == "data"
        return {name for name in names if is_top and "." not in name and name not in services}

    return ignored


def session_of(data: Path | None) -> Session:
    session = botocore.session.get_session()
    if data:
        session.register_component(
            "data_loader", Loader(extra_search_paths=[str(data)], include_default_search_paths=False)
        )
    return session


def operations(session: Session) -> Iterator[OperationModel]:
    for service in SERVICES:
        model = session.get_service_model(service)
        yield from (model.operation_model(name) for name in model.operation_names)


def described(shape: Shape | None, above: tuple[str, ...] = ()) -> Any:
    """Everything that a shape says, but for people; a shape within itself is its name."""
    if shape is None or shape.name in above:
        return shape and shape.name
    above = (*above, shape.name)
    told: dict[str, Any] = {"type": shape.type_name, "serialization": shape.serialization, "metadata": shape.metadata}
    match shape:
        case StructureShape():
            told["members"] = {name: described(one, above) for name, one in shape.members.items()}
        case ListShape():
            told["member"] = described(shape.member, above)
        case MapShape():
            told["key"], told["value"] = described(shape.key, above), described(shape.value, above)
        case _:
            pass
    return told


def test_each_call_is_described_as_before(trimmed: Path) -> None:
    whole, found = session_of(None), list(operations(session_of(trimmed)))
    assert {one.name for one in found} == package.called(
        package.sources(), {xform_name(one.name): one.name for one in operations(whole)}
    )
    for operation in found:
        before = whole.get_service_model(operation.service_model.service_name).operation_model(operation.name)
        assert described(operation.input_shape) == described(before.input_shape), operation.name
        assert described(operation.output_shape) == described(before.output_shape), operation.name
        assert [described(one) for one in operation.error_shapes] == [described(one) for one in before.error_shapes]
        for name in (
            "http",
            "http_checksum",
            "auth",
            "auth_type",
            "endpoint",
            "endpoint_operation_name",
            "idempotent_members",
            "context_parameters",
            "static_context_parameters",
            "request_compression",
            "has_event_stream_output",
        ):
            if hasattr(before, name):
                assert getattr(operation, name) == getattr(before, name), (operation.name, name)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_found_where_it_was(trimmed: Path, service: str) -> None:
    """The same address, signature, paginators and protocol in each partition."""
    for region in REGIONS:
        clients = [
            session_of(data).create_client(service, region, aws_access_key_id="a", aws_secret_access_key="b")
            for data in (None, trimmed)
        ]
        assert len({one.meta.endpoint_url for one in clients}) == 1
        whole, less = (one.meta.service_model for one in clients)
        assert less.metadata == whole.metadata
        for name in less.operation_names:
            method = xform_name(name)
            assert clients[0].can_paginate(method) == clients[1].can_paginate(method)


def test_nothing_is_left_that_is_not_needed(trimmed: Path) -> None:
    text = "".join(file.read_text() for file in trimmed.rglob("service-2.json"))
    assert '"documentation":"' not in text
    assert sum(file.stat().st_size for file in trimmed.rglob("*") if file.is_file()) < 350_000


def test_a_member_that_is_called_documentation_stays() -> None:
    model = {
        "metadata": {"endpointPrefix": "x"},
        "documentation": "of the service",
        "operations": {
            "Do": {"input": {"shape": "In"}, "documentation": "of it"},
            "Other": {"input": {"shape": "Out"}},
        },
        "shapes": {
            "In": {
                "type": "structure",
                "members": {"documentation": {"shape": "Text", "documentation": "one"}, "again": {"shape": "In"}},
            },
            "Text": {"type": "string", "documentation": "two"},
            "Out": {"type": "structure", "members": {}},
        },
    }
    assert package.model_of(model, {"Do", "Elsewhere"}) == {
        "metadata": {"endpointPrefix": "x"},
        "operations": {"Do": {"input": {"shape": "In"}}},
        "shapes": {
            "In": {"type": "structure", "members": {"documentation": {"shape": "Text"}, "again": {"shape": "In"}}},
            "Text": {"type": "string"},
        },
    }


def test_the_data_is_plain_json(trimmed: Path) -> None:
    assert not list(trimmed.rglob("*.gz"))
    for file in trimmed.rglob("*.json"):
        json.loads(file.read_bytes())
