"""The SDK's own way: a REST stream with a paginator, everything else as it comes."""

import sys

from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.pagination import JSONPathPaginator
from singer_sdk.streams import RESTStream

url, audience, key, fields = sys.argv[1:5]


class Members(RESTStream):
    """The members of an audience."""

    name = "members"
    url_base = url
    path = f"/api/segment/{audience}/scan"
    primary_keys = ("_id",)
    records_jsonpath = "$.data[*]"
    schema = th.PropertiesList(
        *(
            th.Property(
                name, th.CustomType({"type": ["string", "number", "boolean", "array", "object", "null"]})
            )
            for name in fields.split(",")
        )
    ).to_dict()

    @property
    def authenticator(self):
        return APIKeyAuthenticator(key="Authorization", value=key, location="header")

    def get_new_paginator(self):
        return JSONPathPaginator("$._next")

    def get_url_params(self, context, next_page_token):
        return {"limit": 100, "fields": fields, **({"start": next_page_token} if next_page_token else {})}


class DefaultTap(Tap):
    """Reads an audience."""

    name = "default-tap"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self):
        return [Members(self)]


DefaultTap(config={}).sync_all()
