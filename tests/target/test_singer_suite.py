"""The SDK's standard tests for targets, against the sandbox. None is left out or rewritten.

Their streams have no e-mail addresses: a stream map gives each record one, as the user of such a tap would do it.
"""

import signal

import pytest
from singer_sdk.testing import SuiteConfig, get_target_test_class
from singer_sdk.testing.runners import TargetTestRunner
from singer_sdk.testing.suites import SingerTestSuite
from singer_sdk.testing.target_tests import TargetRecordMissingRequiredProperty

from target_cordial.target import TargetCordial

ADDRESS = "str(_.get('id', _.get('Id', _.get('_id', 'nobody')))) + '@example.com'"
EXPECTED = {
    "array_data": 4,
    "camelcase": 2,
    "duplicate_records": 2,
    "encoded_string_data": 11,
    "no_primary_keys": 3,
    "optional_attributes": 4,
    "pk_updates": 2,
    "record_missing_fields": 2,
    "record_missing_required_property": 1,
    "schema_no_properties": 1,
    "schema_updates": 6,
    "special_chars_in_attributes": 1,
}
"""How many contacts each stream makes, where it has records that can be sent."""

more = SingerTestSuite(kind="target", tests=[TargetRecordMissingRequiredProperty])


@pytest.fixture(autouse=True)
def _signals():
    """Making a target sets handlers for the whole process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class TestStandard(get_target_test_class(TargetCordial, custom_suites=[more])):
    """The standard tests."""

    @pytest.fixture
    def runner(self, box, request):
        config = box.target_config(
            identifier_field="contact",
            field_mapping={},
            list_name="suite",
            stream_maps={"*": {"contact": ADDRESS}},
        )
        yield TargetTestRunner(
            TargetCordial, config=config, suite_config=SuiteConfig(), parse_env_config=False
        )
        name = request.node.name.removeprefix("test_target_")
        assert len(box.contacts()) == EXPECTED.get(name, 0)
        assert len(box.list_members("suite")) == EXPECTED.get(name, 0)
