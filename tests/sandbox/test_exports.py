"""What the sandbox's Cordial writes when it is asked to export contacts."""

import csv
import gzip

import pytest
import requests
from gcp_storage_emulator.server import create_server

from tests.sandbox.calls import control, cordial, imported, source
from tests.target.running import wait_until

ADA = "ada@example.com"
BOB = "bob@example.com"
PEOPLE = f"channels.email.address,first_name\r\n{ADA},Ada\r\n{BOB},Bob\r\n"


def export_call(box, **more):
    where = {key: value for key, value in source(box).items() if key != "transport"}
    destination = {**where, "type": "sftp", "path": "/import"}
    fields = ["channels.email.address", "first_name", "home.city", "channels.email.subscribeStatus"]
    return {"destination": destination, "fields": fields, "accountId": 1, "name": "out", **more}


def test_an_export_writes_a_file_with_a_column_for_each_list(box):
    cordial(box, "POST", "/accountlists", {"name": "Sellers"})
    cordial(box, "POST", "/accountlists", {"name": "Buyers"})
    text = f'channels.email.address,first_name,home.city\r\n{ADA},"Ada, Countess",London\r\n'
    imported(box, text, lists={"addTo": ["Sellers"]})
    reply = cordial(box, "POST", "/contactexports", export_call(box, lists=["Sellers", 2], exportType="CSV"))
    assert reply.status_code == 200
    box.wait_idle()
    job = cordial(box, "GET", f"/jobs/{reply.json()['jobId']}").json()
    assert (job["status"], job["jobName"], job["metadata"]["name"]) == ("Done", "ExportContacts", "out")
    text = (box.folder / "sftp" / "import" / "out.csv").read_text(encoding="utf-8")
    assert list(csv.reader(text.splitlines())) == [
        [
            "channels.email.address",
            "first_name",
            "home.city",
            "channels.email.subscribeStatus",
            "Sellers",
            "Buyers",
        ],
        [ADA, "Ada, Countess", "London", "subscribed", "1", "0"],
    ]


def test_an_export_can_be_compressed_without_header_and_in_other_formats(box):
    imported(box, PEOPLE)
    folder = box.folder / "sftp" / "import"
    cordial(box, "POST", "/contactexports", export_call(box, compress=True, showHeader=False))
    cordial(box, "POST", "/contactexports", export_call(box, exportType="txt", delimiter="|"))
    cordial(box, "POST", "/contactexports", export_call(box, exportType="json", fields=["first_name"]))
    box.wait_idle()
    rows = gzip.decompress((folder / "out.csv.gz").read_bytes()).decode().splitlines()
    assert sorted(rows) == ["ada@example.com,Ada,,subscribed", "bob@example.com,Bob,,subscribed"]
    assert "bob@example.com|Bob|" in (folder / "out.txt").read_text(encoding="utf-8")
    assert '{"first_name":"Bob"}' in (folder / "out.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("missing", ["destination", "fields", "accountId"])
def test_an_export_needs_destination_fields_and_account(box, missing):
    body = export_call(box)
    del body[missing]
    reply = cordial(box, "POST", "/contactexports", body)
    assert (reply.status_code, reply.json()["message"]) == (400, f"The {missing} field is required.")


@pytest.mark.parametrize(
    "change",
    [
        {"exportType": "xls"},
        {"destination": {"type": "disk"}},
        {"destination": {"type": "SFTP"}},
        {"lists": ["Nobody"]},
    ],
)
def test_an_export_that_cannot_be_is_a_400(box, change):
    assert cordial(box, "POST", "/contactexports", export_call(box, **change)).status_code == 400
    assert not box.jobs()


def test_an_export_that_cannot_be_written_fails(box):
    call = export_call(box)
    call["destination"]["password"] = "wrong"
    cordial(box, "POST", "/contactexports", call)
    box.wait_idle()
    assert box.jobs()[0]["status"] == "Failed"


def test_the_sandboxs_own_list_of_jobs_holds_exports_too(box):
    imported(box, PEOPLE)
    cordial(box, "POST", "/contactexports", export_call(box))
    box.wait_idle()
    assert [job["jobName"] for job in control(box, "GET", "jobs").json()] == [
        "ImportContacts",
        "ExportContacts",
    ]


@pytest.fixture
def people(box):
    """A sandbox with two contacts, Ada on the list Sellers."""
    cordial(box, "POST", "/accountlists", {"name": "Sellers"})
    imported(box, PEOPLE)
    imported(box, f"channels.email.address\r\n{ADA}\r\n", lists={"addTo": ["Sellers"]})
    return box


def exported(box, **more):
    """Export, and wait.

    Returns:
        The job's id.
    """
    reply = cordial(box, "POST", "/contactexports", export_call(box, **more))
    assert reply.status_code == 200, reply.text
    box.wait_idle()
    return reply.json()["jobId"]


def table(box, name="out.csv"):
    text = (box.folder / "sftp" / "import" / name).read_text(encoding="utf-8")
    return list(csv.reader(text.splitlines()))


def test_an_export_counts_contacts_and_covers_all_of_them(people):
    job = cordial(people, "GET", f"/jobs/{exported(people)}").json()
    assert (job["status"], job["totalItems"], job["completedItems"]) == ("Done", 2, 2)
    assert sorted(row[0] for row in table(people)[1:]) == [ADA, BOB]


def test_an_export_can_be_limited_by_a_saved_audience(people):
    asked = {"audience-key": "sellers_only"}
    reply = cordial(people, "POST", "/contactexports", export_call(people, **asked))
    assert (reply.status_code, reply.json()["message"]) == (
        400,
        "Audience with name: 'sellers_only' does not exist.",
    )
    people.account.saved_audiences["sellers_only"] = "Sellers"
    exported(people, **asked)
    assert [row[0] for row in table(people)[1:]] == [ADA]


def test_an_export_needs_a_key_that_cordial_keeps(people):
    call = export_call(people)
    call["destination"]["savedKey"] = "wrong"
    reply = cordial(people, "POST", "/contactexports", call)
    assert (reply.status_code, reply.json()["message"]) == (
        400,
        "SSH key with such Name/ID: wrong does not exist.",
    )
    del call["destination"]["password"]
    call["destination"] |= {"savedKey": "sandbox", "port": str(call["destination"]["port"])}
    assert cordial(people, "POST", "/contactexports", call).status_code == 200
    people.wait_idle()
    assert len(table(people)) == 3


def test_an_export_without_a_name_is_called_by_its_job(people):
    job_id = exported(people, name="")
    assert f"{job_id}.csv" in people.files()
    people.fault("export_named_by_job")
    other = exported(people)
    assert f"{other}.csv" in people.files()
    assert "out.csv" not in people.files()


def test_an_export_for_cordials_own_pages_writes_no_file(people):
    exported(people, destination={"type": "AWS"})
    assert people.files() == ["people.csv"]
    assert people.jobs()[-1]["status"] == "Done"


def test_an_export_can_take_its_time_fail_or_be_listed_late(people):
    people.fault("export_slow", 60)
    cordial(people, "POST", "/contactexports", export_call(people))
    with pytest.raises(TimeoutError):
        people.wait_idle(0.1)
    assert people.jobs()[-1]["status"] == "Scheduled"
    people.clear_faults()
    people.fault("export_fails")
    reply = cordial(people, "POST", "/contactexports", export_call(people))
    job_id = reply.json()["jobId"]
    wait_until_status(people, job_id, "Failed")
    assert "out.csv" not in people.files()
    people.clear_faults()
    people.fault("jobs_listed_late", 60)
    late = cordial(people, "POST", "/contactexports", export_call(people)).json()["jobId"]
    wait_until_status(people, late, "Done")
    listed = cordial(people, "GET", "/jobs", jobName="ExportContacts").json()
    assert late not in {job["_id"] for job in listed}


def test_a_file_can_come_after_its_job_is_done(people):
    people.fault("export_file_late", 60)
    job_id = cordial(people, "POST", "/contactexports", export_call(people)).json()["jobId"]
    wait_until_status(people, job_id, "Done")
    assert "out.csv" not in people.files()


def test_half_a_file_can_be_there_when_its_job_is_done(people):
    exported(people, name="whole", compress=True)
    people.fault("export_half", 60)
    job_id = cordial(people, "POST", "/contactexports", export_call(people, compress=True)).json()["jobId"]
    wait_until_status(people, job_id, "Done")
    folder = people.folder / "sftp" / "import"
    with pytest.raises(EOFError):
        gzip.decompress((folder / "out.csv.gz").read_bytes())
    assert gzip.decompress((folder / "whole.csv.gz").read_bytes())


def wait_until_status(box, job_id, status):
    wait_until(lambda: cordial(box, "GET", f"/jobs/{job_id}").json()["status"] == status)


def test_an_export_can_be_split_into_several_files(people):
    people.fault("export_split", 2)
    exported(people)
    assert {name for name in people.files() if name.startswith("out")} == {"out_1.csv", "out_2.csv"}
    first, second = table(people, "out_1.csv"), table(people, "out_2.csv")
    assert first[0] == second[0]
    assert sorted([first[1][0], second[1][0]]) == [ADA, BOB]


def test_an_export_can_lack_its_header(people):
    people.fault("export_headless")
    exported(people, showHeader=True)
    assert sorted(row[0] for row in table(people)) == [ADA, BOB]


def test_list_columns_are_named_as_asked_or_by_id(people):
    exported(people, lists=["Sellers"])
    assert table(people)[0][-1] == "Sellers"
    people.fault("export_list_ids")
    exported(people, lists=["Sellers"])
    assert table(people)[0][-1] == "1"
    assert {row[0]: row[-1] for row in table(people)[1:]} == {ADA: "1", BOB: "0"}


def test_a_contact_can_come_twice(people):
    people.fault("export_repeats", 1)
    exported(people)
    rows = table(people)[1:]
    assert len(rows) == 3
    assert rows[2] == rows[0]


def test_the_column_of_statuses_can_be_absent(people):
    people.fault("export_status_absent")
    exported(people)
    assert table(people)[0] == ["channels.email.address", "first_name", "home.city"]
    assert {len(row) for row in table(people)} == {3}


def test_an_export_goes_into_a_bucket_of_s3(make_box, s3):
    s3.create_bucket(Bucket="exports")
    box = make_box(s3_endpoint=s3.meta.endpoint_url)
    imported(box, PEOPLE)
    place = {
        "type": "S3",
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
        "aws_bucket": "exports",
        "aws_region": "us-east-1",
        "path": "nightly",
    }
    exported(box, destination=place, compress=True)
    body = s3.get_object(Bucket="exports", Key="nightly/out.csv.gz")["Body"].read()
    assert ADA in gzip.decompress(body).decode()


def test_an_export_goes_into_a_bucket_of_gcs(make_box):
    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    try:
        endpoint = f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
        made = requests.post(f"{endpoint}/storage/v1/b?project=test", json={"name": "exports"}, timeout=10)
        made.raise_for_status()
        box = make_box(gcs_endpoint=endpoint)
        imported(box, PEOPLE)
        exported(box, destination={"type": "GCS", "gcs_bucket": "exports", "path": "nightly/"})
        url = f"{endpoint}/storage/v1/b/exports/o/nightly%2Fout.csv?alt=media"
        assert ADA in requests.get(url, timeout=30).text
    finally:
        server.stop()


@pytest.mark.parametrize(
    "destination", [{"type": "FTP", "server": "x", "port": 21, "username": "u", "path": "/"}]
)
def test_a_place_that_cannot_be_reached_fails_the_export(people, destination):
    exported(people, destination=destination)
    assert people.jobs()[-1]["status"] == "Failed"


@pytest.mark.parametrize(
    ("kind", "header", "cell"), [("headed", "email", ADA), ("blank", "email", ""), ("refused", None, None)]
)
def test_the_address_can_go_by_its_short_name(people, kind, header, cell):
    people.fault("export_identifier", kind)
    reply = cordial(people, "POST", "/contactexports", export_call(people))
    assert reply.status_code == (200 if header else 400)
    people.wait_idle()
    if header:
        rows = table(people)
        assert rows[0][0] == header
        assert cell in {row[0] for row in rows[1:]}
    short = {"fields": ["email", "first_name"], "name": "short"}
    assert cordial(people, "POST", "/contactexports", export_call(people, **short)).status_code == 200
    people.wait_idle()
    assert {row[0] for row in table(people, "short.csv")[1:]} == {ADA, BOB}


@pytest.mark.parametrize(
    ("fault", "value", "cell"),
    [
        ("export_arrays", "commas", "tea,books"),
        ("export_arrays", "bars", "tea|books"),
        ("export_dates", "seconds", "2026-01-02T01:04:05+0000"),
        ("export_dates", "milliseconds", "2026-01-02T01:04:05.678Z"),
        ("export_dates", "spaced", "2026-01-02 01:04:05"),
        ("export_numbers", "long", "12.500000"),
        ("export_numbers", "short", "12.5"),
        ("export_numbers", "powers", "1.250000000e+01"),
    ],
)
def test_arrays_dates_and_numbers_can_be_written_in_several_ways(people, fault, value, cell):
    held = {
        "interests": ["tea", "books"],
        "last_visit": "2026-01-02T03:04:05.678901234+02:00",
        "lifetime_value": "12.50",
    }
    people.account.put_contact(ADA, held, "none")
    people.fault(fault, value)
    exported(people, fields=["channels.email.address", "interests", "last_visit", "lifetime_value"])
    assert cell in {cell for row in table(people) for cell in row}


def test_an_export_may_need_no_account(people):
    call = export_call(people)
    del call["accountId"]
    people.fault("export_account_optional")
    assert cordial(people, "POST", "/contactexports", call).status_code == 200


@pytest.mark.parametrize(
    ("fault", "shown"), [("counters_missing", (None, None)), ("counters_text", ("2", "2"))]
)
def test_an_export_job_may_count_no_contacts_or_in_text(people, fault, shown):
    people.fault(fault)
    job = cordial(people, "GET", f"/jobs/{exported(people)}").json()
    assert (job["status"], job.get("totalItems"), job.get("completedItems")) == (
        "Done",
        *shown,
    )


@pytest.mark.parametrize(
    ("fault", "value", "shown"),
    [
        (None, True, ("out", ["Sellers"])),
        ("job_list_ids", True, ("out", ["1"])),
        ("job_names_absent", "exports", (None, None)),
    ],
)
def test_an_export_job_says_what_it_is_about_or_not(people, fault, value, shown):
    if fault:
        people.fault(fault, value)
    metadata = cordial(people, "GET", f"/jobs/{exported(people, lists=[1])}").json()["metadata"]
    assert (metadata.get("name"), metadata.get("lists")) == shown
