"""The mistakes that sources and people make, and the sentence that each gets: one table."""

import gzip

import pytest

from tests.target.running import line, quick_config, run

EMAIL = {"email": {"type": ["string", "null"]}}
TEXT = {**EMAIL, "n": {"type": ["string", "null"]}}
NUMBER = {**EMAIL, "n": {"type": ["number", "null"]}}
DELETED = {**EMAIL, "_sdc_deleted_at": {"type": ["string", "null"]}}
ADA = {"email": "ada@example.com"}
MAPPED = {"field_mapping": {"n": "first_name"}}


def schema(properties=EMAIL, keys=("email",), **more):
    keys = list(keys) if isinstance(keys, tuple) else keys
    return {
        "type": "SCHEMA",
        "stream": "s",
        "schema": {"properties": properties, **more},
        "key_properties": keys,
    }


def records(*values):
    return [{"type": "RECORD", "stream": "s", "record": value} for value in values]


def people(number, address="p{}@example.com", **more):
    return records(*({"email": address.format(place), **more} for place in range(number)))


STATE = {"type": "STATE", "value": {"at": 1}}

MISTAKES = {
    "an exit without an identifier": (
        [schema(DELETED), *people(3), *records({"email": None, "_sdc_deleted_at": "2026-01-01"}), STATE],
        {},
        2,
        "1 exit of Case could not be done: see ",
    ),
    "a mapped field that the schema lacks": (
        [schema(), *records(ADA), STATE],
        MAPPED,
        2,
        "The stream 's' has no field 'n': select it in the tap, or correct field_mapping. A stream that is not meant at all is left out by",
    ),
    "a mapped field that a later schema loses": (
        [schema(TEXT), *people(20, n="v"), schema(), *people(20), STATE],
        MAPPED,
        2,
        "A later SCHEMA message of stream 's', in line 22 of the input, does not fit the settings; what came before it is delivered.",
    ),
    "keys that are a text": (
        [schema(keys="email"), *records(ADA), STATE],
        {},
        2,
        "The key_properties of the SCHEMA message in line 1 of the input are not a list of field names: correct the tap.",
    ),
    "keys in keys": (
        [schema(keys=[["email"]]), *records(ADA), STATE],
        {},
        2,
        "The key_properties of the SCHEMA message in line 1 of the input are not a list of field names: correct the tap.",
    ),
    "a value that is no number": (
        [
            schema(NUMBER),
            b'{"type":"RECORD","stream":"s","record":{"email":"a@example.com","n":NaN}}\n',
            STATE,
        ],
        MAPPED,
        0,
        "1 value of first_name left out (see ",
    ),
    "addresses that are none": (
        [schema(), *people(80, "person {}"), STATE],
        {},
        2,
        "80 of 80 records were rejected for their identifier, more than max_reject_percent (5 %) allows, so nothing is acknowledged",
    ),
    "a byte order mark in the identifier's name": (
        [schema({"\ufeffemail": {"type": "string"}}, ()), *records({"\ufeffemail": "a@example.com"}), STATE],
        {},
        2,
        r"correct identifier_field, or select the field in the tap. They have these fields (s: '\ufeffemail').",
    ),
    "an identifier within an object": (
        [schema({"contact": {"type": "object", "properties": EMAIL}}, ()), *records({"contact": ADA}), STATE],
        {},
        2,
        "They have these fields (s: 'contact').",
    ),
    "a message that is none of Singer's": (
        [schema(), *records(ADA), {"type": "LOG", "message": "page 2"}, STATE],
        {},
        2,
        "Line 3 of the input is of type 'LOG', so it is not a Singer message that target-cordial knows",
    ),
    "a list's name over a field that the stream lacks": (
        [schema(), *records(ADA), STATE],
        {"list_name": "Lytics_{audience_name}"},
        2,
        "The stream 's' has no field 'audience_name', which list_name ('Lytics_{audience_name}') names: set list_name to a name or to fields",
    ),
    "compressed input": ([gzip.compress(line(schema()))], {}, 2, "gzip"),
    "input in UTF-16": ([line(schema()).decode().encode("utf-16")], {}, 2, "UTF-16"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_sentence_that_names_it(box, mistake):
    messages, settings, code, sentence = MISTAKES[mistake]
    config = quick_config(box, **{"list_name": "Case", "field_mapping": {}, **settings})
    result = run(config, messages)
    assert result.code == code, result.log
    assert sentence in (result.message or result.log)
    assert "fault of the program" not in result.log
    assert "Traceback" not in result.log
