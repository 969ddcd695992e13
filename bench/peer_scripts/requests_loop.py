"""The practical limit of one reader: pages fetched with requests, decoded with orjson, rows written as they are."""

import sys

import orjson
import requests

url, audience, key, fields = sys.argv[1:5]
session = requests.Session()
session.headers["Authorization"] = key
cursor = ""
while True:
    query = {"limit": "100", "fields": fields, **({"start": cursor} if cursor else {})}
    page = orjson.loads(session.get(f"{url}/api/segment/{audience}/scan", params=query).content)
    for row in page["data"]:
        sys.stdout.buffer.write(orjson.dumps(row) + b"\n")
    cursor = page.get("_next")
    if not cursor:
        break
