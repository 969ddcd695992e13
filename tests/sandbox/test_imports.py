"""What the sandbox's Cordial does with import files and with jobs."""

import contextlib
import csv
import datetime as dt
import functools
import http.server
import io
import threading
import urllib.parse

import pytest
import requests

from tests.sandbox.calls import call_of, cordial, imported, put_file, source, start
from tests.target.running import wait_until

ADA = "ada@example.com"
PEOPLE = "channels.email.address,first_name\r\nada@example.com,Ada\r\nbob@example.com,Bob\r\n"


def file_of(*rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([["channels.email.address", *rows[0]], *rows[1:]])
    return text.getvalue()


def one(header, *cells):
    """A file of one row, of Ada."""
    return file_of(header, [ADA, *cells])


def attributes(box, address=ADA):
    return box.contacts()[address].attributes


@contextlib.contextmanager
def web_server(handler):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(60)


def test_an_import_is_a_job_that_counts_its_rows(box):
    cordial(box, "POST", "/accountlists", {"name": "Sellers"})
    job = imported(box, PEOPLE, lists={"addTo": ["Sellers"]})
    assert (job["status"], job["jobName"]) == ("Done", "ImportContacts")
    assert (job["totalItems"], job["completedItems"]) == (2, 2)
    assert job["result"] == {
        "totalRecords": 2, "inserted": 2, "updated": 0, "rejected": 0, "error": 0, "ignored": 0,
    }  # fmt: skip
    assert job["metadata"] == {"importName": "people", "fileName": "people.csv", "lists": ["Sellers"]}
    assert set(job["times"]) == {"start", "end"}
    assert imported(box, PEOPLE)["result"]["updated"] == 2


def test_every_kind_of_cell_arrives(box):
    header = ["first_name", "home.city", "home.loc.lat", "birthday", "last_visit", "visit_count", "interests"]
    cells = [
        'Zoë "Z", von\r\nX',
        "Zürich",
        "47.4",
        "1990-02-28",
        "2024-01-01T10:00:00.123456789+02:00",
        "-1.5e3",
    ]
    imported(box, one(header, *cells, '["a, b","c"]'))
    assert attributes(box) == {
        "first_name": 'Zoë "Z", von\r\nX',
        "home": {"city": "Zürich", "loc.lat": "47.4"},
        "birthday": "1990-02-28",
        "last_visit": "2024-01-01T10:00:00.123456789+02:00",
        "visit_count": "-1.5e3",
        "interests": ["a, b", "c"],
    }


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("visit_count", "many"),
        ("visit_count", "1,000"),
        ("visit_count", "nan"),
        ("birthday", "31.12.1999"),
        ("birthday", "1999-02-30"),
        ("last_visit", "2024-01-01 10:00"),
        ("first_name", "x" * 129),
        ("home.city", "x" * 129),
        ("home.loc.lat", "north"),
        ("interests", "[1, 2"),
        ("interests", "[" + ",".join(['"x"'] * 26) + "]"),
        ("interests", '["' + "x" * 129 + '"]'),
        ("channels.email.subscribeStatus", "maybe"),
        ("Sellers", "yes"),
    ],
)
def test_a_row_with_a_cell_that_does_not_fit_is_rejected_and_others_are_not(box, header, cell):
    cordial(box, "POST", "/accountlists", {"name": "Sellers"})
    result = imported(box, file_of([header], [ADA, cell], ["bob@example.com", "~"]))["result"]
    assert (result["totalRecords"], result["inserted"], result["rejected"]) == (2, 1, 1)
    assert set(box.contacts()) == {"bob@example.com"}


@pytest.mark.parametrize("address", ["", "nobody", "two@@example.com", "a b@example.com", "x@nowhere"])
def test_a_row_without_an_address_is_rejected(box, address):
    assert imported(box, file_of(["first_name"], [address, "Ada"]))["result"]["rejected"] == 1


def test_a_row_with_too_few_cells_is_rejected(box):
    assert imported(box, PEOPLE + "cyd@example.com\r\n")["result"]["rejected"] == 1


def test_the_validators_of_an_attribute_are_its_limits(box):
    box.account.add_attribute("code", "string", validators={"min": 2, "max": 3})
    box.account.add_attribute("stars", "number", validators={"min": 1, "max": 5})
    header = ["code", "stars"]
    rows = [["a@x.com", "ab", "1"], ["b@x.com", "a", "1"], ["c@x.com", "abcd", "1"], ["d@x.com", "abc", "6"]]
    assert imported(box, file_of(header, *rows))["result"]["rejected"] == 3
    assert set(box.contacts()) == {"a@x.com"}


def test_a_new_contact_without_a_required_attribute_is_rejected(box):
    box.account.put_contact(ADA, {}, "subscribed")
    box.account.add_attribute("code", "string", validators={"required": True})
    result = imported(box, PEOPLE)["result"]
    assert (result["updated"], result["rejected"]) == (1, 1)


def test_the_null_marker_leaves_and_an_empty_cell_clears(box):
    header = ["first_name", "last_name", "home.city", "home.country"]
    imported(box, one(header, "Ada", "Lovelace", "London", "GB"))
    imported(box, one(header, "~", "", "", "~"))
    assert attributes(box) == {"first_name": "Ada", "home": {"country": "GB"}}


@pytest.mark.parametrize(
    ("empty", "rejected", "kept"),
    [("clears", 0, {}), ("ignored", 0, {"first_name": "Ada"}), ("rejected", 1, {"first_name": "Ada"})],
)
def test_an_empty_cell_does_any_of_three_things(box, empty, rejected, kept):
    imported(box, one(["first_name"], "Ada"))
    box.fault("empty_cells", empty)
    assert imported(box, one(["first_name"], ""))["result"]["rejected"] == rejected
    assert attributes(box) == kept


def test_an_array_in_a_cell_is_json_or_split_at_commas(box):
    imported(box, one(["interests"], "jazz"))
    assert attributes(box)["interests"] == ["jazz"]
    box.fault("array_commas")
    imported(box, one(["interests"], "jazz,chess"))
    assert attributes(box)["interests"] == ["jazz", "chess"]


def test_an_unknown_column_is_ignored_or_fails_the_import(box):
    assert imported(box, one(["first_name", "nothing", "home.moon"], "Ada", "x", "y"))["status"] == "Done"
    assert attributes(box) == {"first_name": "Ada"}
    box.fault("unknown_header_fails")
    assert imported(box, one(["nothing"], "x"))["status"] == "Failed"


def test_a_file_can_come_without_a_header_and_with_another_delimiter(box):
    columns = ["channels.email.address", "", "first_name"]
    job = imported(box, "ada@example.com;x;Ada\r\n", hasHeader=False, columns=columns, delimiter=";")
    assert job["result"]["inserted"] == 1
    assert attributes(box) == {"first_name": "Ada"}


@pytest.mark.parametrize("text", ["", 'channels.email.address\r\n"a@x.com', "first_name\r\nAda\r\n"])
def test_a_file_that_cannot_be_read_fails_the_import(box, text):
    assert imported(box, text)["status"] == "Failed"


def test_a_file_that_is_not_utf_8_fails_the_import(box):
    put_file(box, "people.csv", "")
    (box.folder / "sftp" / "import" / "people.csv").write_bytes(
        PEOPLE.replace("Ada", "Zo\xeb").encode("latin-1")
    )
    cordial(box, "POST", "/contactimports", call_of(box))
    box.wait_idle()
    assert box.jobs()[-1]["status"] == "Failed"


def test_a_new_contact_becomes_subscribed_unless_the_file_says_otherwise(box):
    header = ["channels.email.subscribeStatus"]
    imported(
        box,
        file_of(header, ["a@x.com", "none"], ["b@x.com", "~"], ["c@x.com", ""], ["d@x.com", "unsubscribed"]),
    )
    assert [box.contacts()[f"{name}@x.com"].subscribe_status for name in "abcd"] == [
        "none", "subscribed", "subscribed", "unsubscribed",
    ]  # fmt: skip


def test_an_import_cannot_undo_an_unsubscribe(box):
    box.account.put_contact(ADA, {}, "unsubscribed")
    imported(box, PEOPLE)
    imported(box, one(["channels.email.subscribeStatus"], "subscribed"))
    assert box.contacts()[ADA].subscribe_status == "unsubscribed"


def test_without_a_status_column_a_status_stays_or_is_reset(box):
    box.account.put_contact(ADA, {}, "none")
    box.account.put_contact("bob@example.com", {}, "unsubscribed")
    imported(box, PEOPLE)
    assert box.contacts()[ADA].subscribe_status == "none"
    box.fault("status_resets")
    imported(box, PEOPLE)
    assert box.contacts()[ADA].subscribe_status == "subscribed"
    assert box.contacts()["bob@example.com"].subscribe_status == "unsubscribed"


def statuses(box):
    return {address: contact.subscribe_status for address, contact in box.contacts().items()}


@pytest.mark.parametrize("resets", [True, False])
@pytest.mark.parametrize("lists", [{}, {"removeFrom": ["Sellers"]}])
@pytest.mark.parametrize("strategy", ["upsert", "updateOnly"])
def test_a_call_can_ask_that_known_contacts_keep_their_status(box, resets, lists, strategy):
    """Under the reading that an import without a status subscribes, this holds for exits as well."""
    cordial(box, "POST", "/accountlists", {"name": "Sellers"})
    box.account.put_contact(ADA, {}, "none")
    more = {"lists": lists, **({"strategy": strategy} if strategy != "upsert" else {})}
    if resets:
        box.fault("status_resets")
    imported(box, PEOPLE, subscribe=False, **more)
    assert statuses(box)[ADA] == "none"
    imported(box, PEOPLE, **more)
    assert statuses(box)[ADA] == ("subscribed" if resets else "none")


def test_a_new_contact_of_such_a_call_is_subscribed_or_not(box):
    imported(box, one([]), subscribe=False)
    assert statuses(box) == {ADA: "subscribed"}
    box.fault("new_contacts_unsubscribed")
    imported(box, PEOPLE, subscribe=False)
    assert statuses(box) == {ADA: "subscribed", "bob@example.com": "none"}
    imported(box, file_of([], ["cyd@example.com"]))
    assert statuses(box)["cyd@example.com"] == "subscribed"


def test_such_a_call_can_be_refused(box):
    assert cordial(box, "POST", "/contactimports", call_of(box, subscribe="no")).status_code == 406
    box.fault("subscribe_refused")
    reply = cordial(box, "POST", "/contactimports", call_of(box, subscribe=False))
    assert (reply.status_code, reply.json()["message"]) == (406, "The subscribe field is not allowed.")
    assert cordial(box, "POST", "/contactimports", call_of(box)).status_code == 201


def test_a_row_of_an_unknown_address_is_ignored_or_rejected_by_an_update(box):
    box.account.put_contact(ADA, {}, "subscribed")
    text = file_of([], [ADA], ["new@example.com"], ["no address"])
    for choice, counts in ((None, (1, 1)), ("rejected", (0, 2)), ("ignored", (2, 0))):
        if choice is not None:
            box.fault("unknown_in_update", choice)
        result = imported(box, text, strategy="updateOnly")["result"]
        assert (result["updated"], result["ignored"], result["rejected"]) == (1, *counts)
    assert imported(box, text)["result"]["rejected"] == 1, "by an upsert nothing changes"


def test_a_list_that_is_not_there_fails_an_import_or_is_passed_over(box):
    assert imported(box, PEOPLE, lists={"addTo": ["Nobody"]})["status"] == "Failed"
    assert not box.contacts()
    box.fault("unknown_list_ignored")
    job = imported(box, PEOPLE, lists={"addTo": ["Nobody"]})
    assert (job["status"], job["result"]["inserted"]) == ("Done", 2)
    assert {contact.lists for contact in box.contacts().values()} == {frozenset()}


def test_rows_can_be_in_no_counter(box):
    box.fault("rows_uncounted", 1)
    result = imported(box, PEOPLE)["result"]
    assert (result["totalRecords"], result["inserted"], result["updated"]) == (2, 1, 0)
    assert len(box.contacts()) == 2


def test_rows_can_be_dropped_and_counted_nowhere(box):
    box.fault("rows_dropped", 1)
    result = imported(box, PEOPLE)["result"]
    assert (result["totalRecords"], result["inserted"], result["rejected"]) == (1, 1, 0)
    assert len(box.contacts()) == 1


BACKSLASHES = [
    # A cell as it stands in the file, and what either reader makes of it.
    (r'"a\\b"', r"a\\b"),
    (r'"a\b"', r"a\b"),
    (r"a\b", r"a\b"),
    ("a\\", "a\\"),
    ('"a,""b"""', 'a,"b"'),
    ('"a\nb"', "a\nb"),
    ('"a\r\nb"', "a\r\nb"),
    (r'"a\\"', r"a\\"),
    ('""', None),
]


@pytest.mark.parametrize(("cell", "expected"), BACKSLASHES)
def test_both_kinds_of_reader_agree_unless_an_odd_backslash_is_before_a_quote(box, cell, expected):
    text = f"channels.email.address,first_name,last_name\r\n{ADA},{cell},x\r\nbob@example.com,B,y\r\n"
    for _ in range(2):
        assert imported(box, text)["result"]["rejected"] == 0
        assert attributes(box).get("first_name") == expected
        assert attributes(box)["last_name"] == "x"
        assert attributes(box, "bob@example.com") == {"first_name": "B", "last_name": "y"}
        box.fault("csv_backslash")


def test_a_reader_for_which_a_backslash_escapes_tears_rows(box):
    text = file_of(["first_name", "last_name"], [ADA, "a,\\", "x"], ["bob@example.com", "B", "y"])
    assert f'{ADA},"a,\\",x' in text
    assert imported(box, text)["result"]["inserted"] == 2
    assert attributes(box)["first_name"] == "a,\\"
    box.account.remove_contact(ADA)
    box.account.remove_contact("bob@example.com")
    box.fault("csv_backslash")
    result = imported(box, text)["result"]
    assert (result["totalRecords"], result["inserted"], result["rejected"]) == (1, 0, 1)


def test_another_persons_address_can_land_in_a_torn_cell(box):
    text = file_of(["first_name", "last_name"], [ADA, "Ada", "a,\\"], ["bob@example.com", "B", "y,z"])
    imported(box, text)
    assert attributes(box)["last_name"] == "a,\\"
    box.fault("csv_backslash")
    result = imported(box, text)["result"]
    assert (result["totalRecords"], result["rejected"]) == (1, 1)
    torn = text.replace('"y,z"', '"y"')
    assert imported(box, torn)["result"]["updated"] == 1
    assert "bob@example.com" in attributes(box)["last_name"]


def test_a_date_with_nanoseconds_is_taken_or_rejected(box):
    text = one(["last_visit"], "2026-01-02T03:04:05.123456789Z")
    assert imported(box, text)["result"]["inserted"] == 1
    box.fault("date_digits", 6)
    assert imported(box, text)["result"]["rejected"] == 1
    assert imported(box, one(["last_visit"], "2026-01-02T03:04:05.123456Z"))["result"]["updated"] == 1


def test_update_only_makes_nobody_and_insert_only_changes_nobody(box):
    box.account.put_contact(ADA, {"first_name": "Old"}, "subscribed")
    result = imported(box, PEOPLE, strategy="updateOnly")["result"]
    assert (result["updated"], result["inserted"], result["ignored"]) == (1, 0, 1)
    assert set(box.contacts()) == {ADA}
    box.account.put_contact(ADA, {"first_name": "Old"}, "subscribed")
    result = imported(box, PEOPLE, strategy="insertOnly")["result"]
    assert (result["updated"], result["inserted"], result["ignored"]) == (0, 1, 1)
    assert attributes(box) == {"first_name": "Old"}


def test_lists_are_named_in_the_call_or_in_a_column_and_the_call_goes_first(box):
    for name in ("Sellers", "Buyers"):
        cordial(box, "POST", "/accountlists", {"name": name})
    imported(
        box,
        file_of(["Sellers", "2"], [ADA, "1", "1"], ["bob@example.com", "0", ""]),
        lists={"addTo": ["Sellers"]},
    )
    assert box.list_members("Sellers") == {ADA, "bob@example.com"}
    assert box.list_members("Buyers") == {ADA}
    imported(box, PEOPLE, lists={"removeFrom": ["Sellers", "2"]})
    assert box.list_members("Sellers") == box.list_members("Buyers") == set()


def test_a_list_that_is_not_there_fails_the_import(box):
    assert imported(box, PEOPLE, lists={"addTo": ["Nobody"]})["status"] == "Failed"
    assert not box.contacts()


def test_addresses_that_differ_in_case_are_one_contact_or_two(box):
    imported(box, PEOPLE + "ADA@example.com,Other\r\n")
    assert set(box.contacts()) == {ADA, "bob@example.com"}
    box.fault("address_case_kept")
    imported(box, PEOPLE + "ADA@example.com,Other\r\n")
    assert "ADA@example.com" in box.contacts()


def test_the_order_of_rows_is_not_kept_and_comes_from_the_seed(make_box):
    text = file_of(["first_name"], *([ADA, str(number)] for number in range(50)))

    def winners(seed):
        box = make_box(seed=seed)
        found = []
        for _ in range(5):
            imported(box, text)
            found.append(attributes(box)["first_name"])
        return found

    assert winners(1) == winners(1)
    assert set(winners(1)) != {"49"}
    assert winners(1) != winners(2)


def test_a_file_that_is_not_there_is_told_in_the_job_id(box):
    reply = cordial(box, "POST", "/contactimports", call_of(box))
    message = "Couldn't get the size of the file (/import/people.csv)"
    error = {"error": True, "errorKey": "GENERIC_ERROR_KEY", "message": message}
    assert (reply.status_code, reply.json()) == (201, {"jobId": error})
    assert not box.jobs()


def test_a_login_that_fails_is_told_in_the_job_id(box):
    put_file(box, "people.csv", PEOPLE)
    words = "Can't login to the server (127.0.0.1)"
    reply = cordial(box, "POST", "/contactimports", call_of(box, source=source(box, password="wrong")))
    assert reply.json()["jobId"]["message"] == words
    box.fault("source_login_fails")
    assert cordial(box, "POST", "/contactimports", call_of(box)).json()["jobId"]["message"] == words


def test_a_server_that_is_not_there_is_told_in_the_job_id(box):
    reply = cordial(box, "POST", "/contactimports", call_of(box, source=source(box, port=1)))
    assert reply.json()["jobId"]["message"] == "Can't connect to the server (127.0.0.1)"


def test_cordial_can_log_in_with_its_saved_key(box):
    put_file(box, "people.csv", PEOPLE)
    with_key = source(box, savedKey="sandbox")
    del with_key["password"]
    cordial(box, "POST", "/contactimports", call_of(box, source=with_key))
    box.wait_idle()
    assert set(box.contacts()) == {ADA, "bob@example.com"}
    reply = cordial(box, "POST", "/contactimports", call_of(box, source={**with_key, "savedKey": "other"}))
    assert reply.json()["jobId"]["message"] == "SSH key with such Name/ID: other does not exist."


def test_cordial_fetches_over_http_with_a_login(box, tmp_path):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.headers["Authorization"] == "Basic dXNlcjpwYXNz":
                super().do_GET()
            else:
                self.send_error(401)

        def log_message(self, *_):
            pass

    (tmp_path / "people.csv").write_text(PEOPLE, encoding="utf-8")
    with web_server(functools.partial(Handler, directory=tmp_path)) as url:
        where = {"transport": "http", "url": f"{url}/people.csv", "username": "user", "password": "wrong"}
        reply = cordial(box, "POST", "/contactimports", call_of(box, source=where))
        assert reply.json()["jobId"]["message"].startswith("Couldn't get the size of the file")
        cordial(box, "POST", "/contactimports", call_of(box, source={**where, "password": "pass"}))
        box.wait_idle()
    assert ADA in box.contacts()


def test_cordial_fetches_from_a_google_bucket(make_box):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(urllib.parse.unquote(self.path))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PEOPLE.encode())

        def log_message(self, *_):
            pass

    with web_server(Handler) as url:
        box = make_box(gcs_endpoint=url)
        where = {"transport": "gcs", "buket": "ours", "path": "import/people.csv"}
        cordial(box, "POST", "/contactimports", call_of(box, source=where))
        box.wait_idle()
    assert asked == ["/storage/v1/b/ours/o/import/people.csv?alt=media"]
    assert ADA in box.contacts()


def test_jobs_are_listed_by_name_status_time_and_page(box):
    for number in range(3):
        imported(box, PEOPLE, importName=f"people-{number}")
    box.fault("job_fails")
    imported(box, PEOPLE, importName="fails")

    def names(**query):
        reply = cordial(box, "GET", "/jobs", **query)
        return (
            [job["metadata"]["importName"] for job in reply.json()] if reply.ok else reply.json()["errorKey"]
        )

    assert names() == ["people-0", "people-1", "people-2", "fails"]
    assert names(jobName="ImportContacts", status="Failed") == ["fails"]
    assert names(jobName="ExportContacts") == "RECORD_NOT_FOUND"
    assert names(status="Pending") == "RECORD_NOT_FOUND"
    assert names(per_page=3) == ["people-0", "people-1", "people-2"]
    assert names(per_page=3, page=2) == ["fails"]
    assert names(per_page=3, page=3) == "RECORD_NOT_FOUND"
    assert len(names(**{"times[start][gte]": "2020-01-01T00:00:00Z", "times[end][lt]": "2999-01-01"})) == 4
    assert names(**{"times[start][gt]": "2999-01-01T00:00:00+02:00"}) == "RECORD_NOT_FOUND"
    assert names(**{"times[start][lte]": "2020-01-01T00:00:00Z"}) == "RECORD_NOT_FOUND"


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({"status": "Lost"}, 422, "The selected status is invalid."),
        ({"times[start][gte]": "yesterday"}, 422, "Time value is incorrect"),
        ({"page": "0"}, 422, "The page must be a positive number."),
        ({"per_page": "all"}, 422, "The per_page must be a positive number."),
        (
            {"include": "statistic", "per_page": 26},
            400,
            "When include=statistic is requested, per_page must not exceed 25.",
        ),
    ],
)
def test_a_list_of_jobs_refuses_filters_that_it_does_not_know(box, query, status, message):
    reply = cordial(box, "GET", "/jobs", **query)
    assert (reply.status_code, reply.json()["message"]) == (status, message)


def test_a_job_that_is_not_there_is_a_404(box):
    assert cordial(box, "GET", "/jobs/5f6b1434f778ac145d25391a").json()["errorKey"] == "RECORD_NOT_FOUND"


@pytest.mark.parametrize("field", ["_id", "id", "jobId"])
def test_a_listed_job_carries_its_id_in_any_of_these_fields(box, field):
    job_id = start(box, PEOPLE)
    box.fault("job_id_field", field)
    (job,) = cordial(box, "GET", "/jobs").json()
    assert job[field] == job_id
    assert {"_id", "id", "jobId"} & set(job) == {field}


def test_the_id_of_a_job_can_be_a_number_or_an_object(box):
    job_id = start(box, PEOPLE)
    box.wait_idle()
    box.fault("job_id_shape", "nested")
    assert cordial(box, "GET", "/jobs").json()[0]["_id"] == {"$oid": job_id}
    box.fault("job_id_shape", "number")
    number = start(box, PEOPLE)
    box.wait_idle()
    assert isinstance(number, int)
    assert [job["_id"] for job in cordial(box, "GET", "/jobs").json()] == [number - 1, number]
    assert cordial(box, "GET", f"/jobs/{number}").json()["status"] == "Done"


def test_a_page_of_jobs_can_be_shorter_than_asked_for(box):
    for _ in range(5):
        start(box, PEOPLE)
    box.wait_idle()
    box.fault("job_page_limit", 2)
    pages = [cordial(box, "GET", "/jobs", per_page=100, page=page) for page in (1, 2, 3, 4)]
    assert [len(page.json()) for page in pages[:3]] == [2, 2, 1]
    assert pages[3].status_code == 404


@pytest.mark.parametrize(
    ("refused", "statuses"),
    [(None, (200, 200)), ("time", (422, 200)), ("day", (200, 422)), ("both", (422, 422))],
)
def test_times_of_jobs_are_taken_in_two_forms_or_in_one(box, refused, statuses):
    start(box, PEOPLE)
    box.wait_idle()
    if refused is not None:
        box.fault("time_form_refused", refused)
    for bound, status in zip(("2025-01-31T00:00:00Z", "31-01-2025"), statuses, strict=True):
        reply = cordial(box, "GET", "/jobs", **{"times[start][gte]": bound})
        assert reply.status_code == status, bound
        assert ("Time value is incorrect" in reply.text) is (status == 422)
    assert cordial(box, "GET", "/jobs", **{"times[start][lt]": "32-01-2025"}).status_code == 422


def test_a_day_is_its_first_moment(box):
    start(box, PEOPLE)
    box.wait_idle()
    today = dt.datetime.now(dt.timezone.utc)
    tomorrow = today + dt.timedelta(days=1)
    assert cordial(box, "GET", "/jobs", **{"times[start][gte]": f"{today:%d-%m-%Y}"}).status_code == 200
    assert cordial(box, "GET", "/jobs", **{"times[start][gte]": f"{tomorrow:%d-%m-%Y}"}).status_code == 404


def test_a_job_takes_time(box):
    box.fault("slow_jobs", 60)
    job_id = start(box, PEOPLE)
    with pytest.raises(TimeoutError):
        box.wait_idle(0.1)
    assert cordial(box, "GET", f"/jobs/{job_id}").json()["status"] == "Processing"


def test_a_job_can_be_throttled_first(box):
    box.fault("job_throttled", 60)
    job_id = start(box, PEOPLE)
    with pytest.raises(TimeoutError):
        box.wait_idle(0.1)
    assert cordial(box, "GET", f"/jobs/{job_id}").json()["status"] == "Throttled"
    assert len(cordial(box, "GET", "/jobs", status="Throttled").json()) == 1


def test_a_job_fails_and_imports_nobody(box):
    box.fault("job_fails")
    job = imported(box, PEOPLE)
    assert job["status"] == "Failed"
    assert "result" not in job
    assert not box.contacts()


def test_child_jobs_alone_can_fail(box):
    box.fault("child_jobs", 2)
    box.fault("job_fails", "children")
    start(box, PEOPLE)
    box.wait_idle()
    assert [job["status"] for job in box.jobs()] == ["Done", "Failed", "Failed"]
    assert not box.contacts()


def test_a_job_that_never_ends_goes_on_when_the_fault_is_cleared(box):
    box.fault("job_never_ends")
    job_id = start(box, PEOPLE)
    with pytest.raises(TimeoutError):
        box.wait_idle(0.1)
    assert cordial(box, "GET", f"/jobs/{job_id}").json()["status"] == "Processing"
    box.clear_faults()
    box.wait_idle()
    assert ADA in box.contacts()


@pytest.mark.parametrize(("fault", "counter"), [("job_rejects", "rejected"), ("job_errors", "error")])
def test_rows_are_rejected_on_purpose(box, fault, counter):
    box.fault(fault, 1)
    result = imported(box, PEOPLE)["result"]
    assert (result["totalRecords"], result["inserted"], result[counter]) == (2, 1, 1)
    assert len(box.contacts()) == 1


def test_counters_are_missing_or_short_or_text(box):
    box.fault("counters_missing")
    job = imported(box, PEOPLE)
    assert "result" not in job
    assert "totalItems" not in job
    box.clear_faults()
    box.fault("counters_short", 1)
    job = imported(box, PEOPLE)
    assert (job["result"]["totalRecords"], job["totalItems"]) == (1, 1)
    box.clear_faults()
    box.fault("counters_text")
    job = imported(box, PEOPLE)
    assert (job["result"]["totalRecords"], job["result"]["updated"], job["completedItems"]) == ("2", "2", "2")


def test_a_2xx_can_hold_an_error_as_job_id(box):
    put_file(box, "people.csv", PEOPLE)
    box.fault("jobid_error", "Can't connect to the server (somewhere)")
    reply = cordial(box, "POST", "/contactimports", call_of(box))
    assert (reply.status_code, reply.json()["jobId"]["error"]) == (201, True)
    assert reply.json()["jobId"]["message"] == "Can't connect to the server (somewhere)"
    assert not box.jobs()


def test_an_answer_is_lost_after_the_import_was_registered(box):
    put_file(box, "people.csv", PEOPLE)
    box.fault("answer_lost", path="contactimports", once=True)
    with pytest.raises(requests.ConnectionError):
        cordial(box, "POST", "/contactimports", call_of(box))
    box.wait_idle()
    assert [job["status"] for job in cordial(box, "GET", "/jobs").json()] == ["Done"]


def test_a_new_job_is_listed_late_but_found_by_its_id(box):
    box.fault("jobs_listed_late", 60)
    job_id = start(box, PEOPLE)
    box.wait_idle()
    assert cordial(box, "GET", "/jobs").status_code == 404
    assert cordial(box, "GET", f"/jobs/{job_id}").json()["status"] == "Done"


def test_a_new_job_is_not_listed_until_the_fault_is_cleared(box):
    box.fault("listing_held")
    job_id = start(box, PEOPLE)
    box.wait_idle()
    assert cordial(box, "GET", "/jobs").status_code == 404
    box.clear_faults()
    assert [job["_id"] for job in cordial(box, "GET", "/jobs").json()] == [job_id]


def test_child_jobs_can_be_listed_as_under_way_for_ever(box):
    box.fault("child_jobs", 2)
    box.fault("jobs_listed_stale")
    start(box, PEOPLE)
    box.wait_idle()
    listed = cordial(box, "GET", "/jobs").json()
    assert sorted(job["status"] for job in listed) == ["Done", "Processing", "Processing"]
    assert {cordial(box, "GET", f"/jobs/{job['_id']}").json()["status"] for job in listed} == {"Done"}


def test_child_jobs_alone_can_be_held_and_left_out_of_the_list(box):
    box.fault("child_jobs", 2)
    box.fault("job_never_ends", "children")
    box.fault("listing_held", "children")
    parent = start(box, PEOPLE)
    wait_until(lambda: [job["status"] for job in box.jobs()] == ["Done", "Processing", "Processing"])
    assert [job["_id"] for job in cordial(box, "GET", "/jobs").json()] == [parent]
    box.clear_faults()
    assert len(cordial(box, "GET", "/jobs").json()) == 3
    box.wait_idle()
    assert [job["status"] for job in box.jobs()] == ["Done"] * 3


@pytest.mark.parametrize(("is_there", "status"), [(True, "Done"), (False, "Failed")])
def test_a_file_is_looked_for_only_after_the_import_was_registered(box, is_there, status):
    box.fault("late_fetch", 0.05)
    put_file(box, "people.csv" if is_there else "renamed.csv", PEOPLE)
    reply = cordial(box, "POST", "/contactimports", call_of(box))
    assert isinstance(reply.json()["jobId"], str)
    box.wait_idle()
    assert [job["status"] for job in box.jobs()] == [status]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_zombie_is_registered_later_unless_its_file_is_gone(box, is_there):
    box.fault("zombie_import", 0.05, once=True)
    put_file(box, "people.csv" if is_there else "renamed.csv", PEOPLE)
    with pytest.raises(requests.ConnectionError):
        cordial(box, "POST", "/contactimports", call_of(box))
    box.wait_idle()
    assert [job["status"] for job in box.jobs()] == ["Done"] * is_there
    assert (ADA in box.contacts()) == is_there


def test_a_zombie_can_be_held_until_a_test_lets_it_go(box):
    box.fault("zombie_import", 0, once=True)
    box.fault("zombie_held")
    put_file(box, "people.csv", PEOPLE)
    with pytest.raises(requests.ConnectionError):
        cordial(box, "POST", "/contactimports", call_of(box))
    assert box.jobs() == []
    box.clear_faults("zombie_held")
    box.wait_idle()
    assert [job["status"] for job in box.jobs()] == ["Done"]


def test_an_import_is_done_by_child_jobs(box):
    box.fault("child_jobs", 3)
    text = file_of(["first_name"], *([f"person{number}@example.com", "x"] for number in range(10)))
    parent = start(box, text)
    box.wait_idle()
    jobs = {job["_id"]: job for job in cordial(box, "GET", "/jobs").json()}
    children = [job for job in jobs.values() if job["metadata"].get("parentJobId") == parent]
    assert len(children) == 3
    assert {job["metadata"]["importName"] for job in children} == {"people"}
    assert sum(job["result"]["inserted"] for job in children) == 10
    assert "result" not in jobs[parent]
    assert len(box.contacts()) == 10


def test_imports_under_way_at_once_are_all_done(box):
    box.fault("slow_jobs", 0.05)
    for number in range(6):
        text = file_of(["first_name"], *([f"p{number}.{row}@example.com", "x"] for row in range(200)))
        put_file(box, f"{number}.csv", text)
        cordial(box, "POST", "/contactimports", call_of(box, source=source(box, f"{number}.csv")))
    box.wait_idle()
    assert [job["status"] for job in box.jobs()] == ["Done"] * 6
    assert len(box.contacts()) == 1200
