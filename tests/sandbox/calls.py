"""Calls of the sandbox's two services, as a plain HTTP client makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from sandbox import Sandbox

LIST = "Lytics_VIP_Customers"
MAX_PAGES = 1_000


def lytics(box: Sandbox, path: str, body: str | None = None, **query: Any) -> requests.Response:
    """GET of Lytics' API, or POST of a filter."""
    headers = {"Authorization": box.api_token}
    if body is None:
        return requests.get(box.lytics_url + path, params=query, headers=headers, timeout=30)
    headers["Content-Type"] = "text/plain"
    return requests.post(box.lytics_url + path, data=body.encode(), params=query, headers=headers, timeout=30)


def scan(box: Sandbox, name: str = "vip_customers", **query: Any) -> list[dict[str, Any]]:
    """All rows of a scan, page by page."""
    return [row for page in pages(box, name, **query) for row in page["data"]]


def pages(box: Sandbox, name: str = "vip_customers", **query: Any) -> list[dict[str, Any]]:
    """All pages of a scan."""
    found, cursor = [], ""
    for _ in range(MAX_PAGES):
        start = {"start": cursor} if cursor else {}
        reply = lytics(box, f"/api/segment/{name}/scan", **{"limit": 100, **query, **start})
        assert reply.status_code == 200, reply.text
        found.append(reply.json())
        cursor = found[-1]["_next"]
        if not cursor:
            return found
    raise AssertionError("The scan has no end.")


def find(box: Sandbox, filter_text: str, **query: Any) -> list[dict[str, Any]]:
    """The rows of an ad hoc scan of one page."""
    reply = lytics(box, "/api/segment/scan", filter_text, **{"table": "user", "limit": 100, **query})
    assert reply.status_code == 200, reply.text
    assert reply.json()["_next"] == ""
    return reply.json()["data"]


def cordial(box: Sandbox, method: str, path: str, body: Any = None, **query: Any) -> requests.Response:
    """A call of Cordial's API."""
    return requests.request(
        method, box.cordial_url + path, json=body, params=query, auth=(box.api_key, ""), timeout=30
    )


def put_file(box: Sandbox, name: str, text: str) -> None:
    """Put a file in the storage."""
    folder = box.folder / "sftp" / "import"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8", newline="")


def source(box: Sandbox, name: str = "people.csv", **more: Any) -> dict[str, Any]:
    """Where a file in the storage is, as Cordial wants to know it."""
    return {
        "transport": "sftp",
        "server": "127.0.0.1",
        "port": int(box.storage_url.split(":")[2].split("/")[0]),
        "username": box.storage_username,
        "password": box.storage_password,
        "path": f"/import/{name}",
        **more,
    }


def call_of(box: Sandbox, **more: Any) -> dict[str, Any]:
    """The call that imports people.csv."""
    return {"source": source(box), "hasHeader": True, "importName": "people", "nullMarker": "~", **more}


def start(box: Sandbox, text: str, **more: Any) -> str:
    """Import a file.

    Returns:
        The job's id.
    """
    put_file(box, "people.csv", text)
    reply = cordial(box, "POST", "/contactimports", call_of(box, **more))
    assert reply.status_code == 201, reply.text
    return reply.json()["jobId"]


def imported(box: Sandbox, text: str, **more: Any) -> dict[str, Any]:
    """Import a file and wait.

    Returns:
        The job, as Cordial shows it.
    """
    job_id = start(box, text, **more)
    box.wait_idle()
    return cordial(box, "GET", f"/jobs/{job_id}").json()


def control(box: Sandbox, method: str, path: str, body: Any = None) -> requests.Response:
    """A call of the sandbox's own."""
    root = box.cordial_url.removesuffix("/v2")
    return requests.request(method, f"{root}/sandbox/{path}", json=body, timeout=30)
