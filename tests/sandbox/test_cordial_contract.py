"""Whatever Cordial is asked, the sandbox answers as Cordial's Swagger says: no crash, no other status, no other body."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sandbox import Sandbox
from tests.sandbox.cordial_openapi import described

CALLS = schemathesis.openapi.from_dict(described())
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 20


@pytest.fixture(scope="module")
def busy_box(tmp_path_factory):
    """A sandbox that has a list and a contact, and reaches out to no server that a call names."""
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as box:
        box.fault("jobid_error")
        box.fault("export_fails")
        box.account.add_list("Sellers")
        box.account.put_contact("0", {"first_name": "Ada", "home": {"city": "Oslo"}}, "subscribed")
        yield box


@CALLS.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_cordial_answers_as_its_swagger_says(case, busy_box):
    url = busy_box.cordial_url
    reply = case.call(base_url=url, auth=(busy_box.api_key, ""), timeout=30)
    case.validate_response(reply, checks=CHECKS)


def test_the_description_covers_the_calls_that_are_served(busy_box):
    served = {
        (resource.method, resource.resource.canonical.removeprefix("/v2"))
        for resource in busy_box._server.app().router.routes()
        if resource.method != "HEAD"
    }
    known = {
        (method.upper(), path.replace("{primary_key}", "{key}"))
        for path, methods in described()["paths"].items()
        for method in methods
    }
    assert served - known == {("GET", "/health")}, "which the Swagger does not tell of"
    assert known - served == set()
