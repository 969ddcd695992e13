"""A Cordial that does nothing: each import is done at once, so that only the target's own work is measured.

`python -m bench.cordial PORT FOLDER` serves until it is told to stop; import files are looked for in the folder, and GET /calls
says how many calls of each kind came since the last time.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from pathlib import Path

from aiohttp import web

from bench.messages import ATTRIBUTES, MORE_COLUMNS

LONGEST_TEXT = 1000
LIST = {"id": 1, "name": "Bench", "size": 0}


def app(folder: Path) -> web.Application:
    """The server.

    Args:
        folder: Where import files are.

    Returns:
        An aiohttp application.
    """
    calls: Counter[str] = Counter()
    jobs: dict[str, dict[str, object]] = {}
    numbers = itertools.count(1)

    @web.middleware
    async def count(request: web.Request, handler: web.Handler) -> web.StreamResponse:  # type: ignore[name-defined]
        if request.path != "/calls":
            is_poll = request.path.startswith("/v2/jobs/")
            calls["poll" if is_poll else f"{request.method} {request.path}"] += 1
        return await handler(request)

    async def attributes(_: web.Request) -> web.Response:
        return web.json_response(
            [
                {"key": key, "type": type_, "validators": {"max": LONGEST_TEXT} if type_ == "string" else {}}
                for key, type_ in {**ATTRIBUTES, **dict.fromkeys(MORE_COLUMNS, "string")}.items()
            ]
        )

    async def lists(_: web.Request) -> web.Response:
        return web.json_response([LIST])

    async def size(_: web.Request) -> web.Response:
        return web.json_response({"count": 0})

    async def register(request: web.Request) -> web.Response:
        id_, name = f"job{next(numbers)}", (await request.json())["importName"]
        rows = (folder / f"{name}.csv").read_bytes().count(b"\r\n") - 1
        result = {"totalRecords": rows, "inserted": rows, "updated": 0, "rejected": 0, "ignored": 0}
        jobs[id_] = {
            "_id": id_,
            "status": "Done",
            "jobName": "ImportContacts",
            "metadata": {"importName": name},
            "result": result,
        }
        return web.json_response({"jobId": id_}, status=201)

    async def job(request: web.Request) -> web.Response:
        return web.json_response(jobs[request.match_info["id"]])

    async def unfinished(_: web.Request) -> web.Response:
        return web.json_response([])

    async def told(_: web.Request) -> web.Response:
        counted = dict(calls)
        calls.clear()
        return web.json_response(counted)

    server = web.Application(middlewares=[count])
    server.router.add_get("/v2/accountcontactattributes", attributes)
    server.router.add_get("/v2/accountlists", lists)
    server.router.add_get("/v2/accountlists/{id}/count", size)
    server.router.add_post("/v2/contactimports", register)
    server.router.add_get("/v2/jobs/{id}", job)
    server.router.add_get("/v2/jobs", unfinished)
    server.router.add_get("/calls", told)
    return server


if __name__ == "__main__":
    web.run_app(app(Path(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), print=None)
