"""What the build leaves of botocore's descriptions says of the calls that are made what the whole of it says."""

from __future__ import annotations

import io
import json
import re
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import botocore
import botocore.session
import pytest
from botocore import xform_name
from botocore.awsrequest import AWSResponse
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


def parameters(shape: Shape | None) -> Any:
    """Some value for everything that a call needs."""
    match shape:
        case StructureShape():
            # Of a union one member is given, or none.
            names = shape.required_members or ([] if not shape.is_tagged_union else list(shape.members)[:1])
            return {name: parameters(shape.members[name]) for name in names}
        case ListShape():
            return [parameters(shape.member)]
        case MapShape():
            return {"a": parameters(shape.value)}
        case None:
            return {}
        case _:
            made = {"integer": 1, "long": 1, "boolean": True, "blob": b"b", "timestamp": 0}
            return made.get(shape.type_name, "a" * max(shape.metadata.get("min", 1), 3))


def request_of(client: Any, operation: OperationModel) -> tuple[str, str, dict[str, Any], Any]:
    """What goes over the wire."""
    sent = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        sent.append(request)
        wrapper = (operation.output_shape.serialization if operation.output_shape else {}).get("resultWrapper")
        content = f"<a><{wrapper}/></a>".encode() if wrapper else b"{}"
        if operation.metadata["protocol"] == "rest-xml":
            content = b"<a/>"
        if operation.has_streaming_output:
            content = b"content"
        return AWSResponse(request.url, 200, {}, RawResponse(content))

    client.meta.events.register_first("before-send", answer)
    getattr(client, xform_name(operation.name))(**parameters(operation.input_shape))
    client.meta.events.unregister("before-send", answer)
    (request,) = sent
    unsteady = {"date", "x-amz-date", "authorization", "amz-sdk-invocation-id", "user-agent"}
    headers = {name.lower(): value for name, value in request.headers.items() if name.lower() not in unsteady}
    return request.method, request.url, headers, request.body if isinstance(request.body, bytes | str) else None


class RawResponse(io.BytesIO):
    def stream(self, amount: int = 1024, **_: Any) -> Iterator[bytes]:
        while chunk := self.read(amount):
            yield chunk


@pytest.mark.parametrize("service", SERVICES)
def test_each_call_is_made_as_before(trimmed: Path, service: str) -> None:
    """Byte for byte, signature and clock apart."""
    whole, less = (
        session_of(data).create_client(service, "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        for data in (None, trimmed)
    )
    names = less.meta.service_model.operation_names
    assert names
    for name in names:
        operation = whole.meta.service_model.operation_model(name)
        with mock.patch("uuid.uuid4", return_value=uuid.UUID(int=1)):
            assert request_of(less, operation) == request_of(whole, operation), name


def test_nothing_is_left_that_is_not_needed(trimmed: Path) -> None:
    text = "".join(file.read_text() for file in trimmed.rglob("service-2.json"))
    # But for what botocore itself reads.
    assert '"documentation":"' not in re.sub(r'"clientContextParams":\{.*?\}\}', "", text)
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
