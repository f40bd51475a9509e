"""The emulator's routes against the client's table of operations: two lists, written apart.

The emulator does not take its paths from the table: a wrong path there must not look right here.
"""

import re
from urllib.parse import parse_qsl

import pytest

from zai_async import _operations as operations
from zai_async._wire import Operation
from zai_async.providers import LOWCODEAPI
from zai_async.testing.emulator.gateways import LowCodeApiGateway
from zai_async.testing.emulator.platform import Platform
from zai_async.testing.emulator.requests import RecordedRequest

ROWS = {name: row for name, row in vars(operations).items() if isinstance(row, Operation)}
# What the emulator has besides: files by their address, an operation without a page of its own,
# and the paths of the coding endpoints, which are those of the table under another prefix.
EXTRA = {("GET", "/cdn/*"), ("POST", "/api/paas/v4/audio/customization")}
CODING = "/api/coding/"


def key(method, path):
    return method, re.sub(r"\{\w+\}", "*", path)


@pytest.fixture(scope="module")
def platform():
    return Platform(None, 0)


def test_every_operation_has_a_route_and_every_route_an_operation(platform):
    routes = {key(route.method, route.absolute_path) for route in platform.table.routes}
    coding = {(method, path) for method, path in routes if path.startswith(CODING)}
    rows = {key(row.method, f"/api/{row.path}") for row in ROWS.values()}
    assert routes - coding - EXTRA == rows
    assert {(method, path.replace(CODING, "/api/")) for method, path in coding} <= rows
    assert len(platform.table.routes) == len(routes)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_route_answers_the_path_of_an_operation(platform, row):
    path = re.sub(r"\{\w+\}", "x", f"/api/{row.path}")
    found = platform.table.find(row.method, path)
    assert found is not None
    assert platform.table.find("PATCH", path) is None


@pytest.mark.parametrize(("name", "path"), LOWCODEAPI.paths.items())
def test_lowcodeapi_has_an_alias_for_each_path_of_its_table(platform, name, path):
    methods = {row.method for row in ROWS.values() if row.name == name}
    where, _, query = path.partition("?")
    gateway = LowCodeApiGateway("key")
    for method in methods:
        request = RecordedRequest(
            method=method,
            path=f"/lowcodeapi/{where}",
            query=dict(parse_qsl(query)) | {"api_token": "at_1"},
            headers={},
            connection=1,
            reused=False,
            received_at=0.0,
        )
        native = gateway.forward(request)
        assert platform.table.find(native.method, native.path) is not None
