"""Import files in Google Cloud Storage."""

import pytest
import requests
from gcp_storage_emulator.server import create_server

from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, run, state
from tests.target.servers import HOST

MESSAGES = [AUDIENCE_SCHEMA, enter("ada@example.com", first_name="Ada"), state({"at": 1})]
BUCKET = "imports-bucket"


class Bucket:
    """A bucket of an emulator on loopback."""

    def __init__(self, port):
        self.endpoint = f"http://{HOST}:{port}"
        requests.post(
            f"{self.endpoint}/storage/v1/b?project=test", json={"name": BUCKET}, timeout=10
        ).raise_for_status()

    def names(self):
        found = requests.get(f"{self.endpoint}/storage/v1/b/{BUCKET}/o", timeout=10).json()
        return [item["name"] for item in found.get("items", [])]


@pytest.fixture
def bucket():
    server = create_server(HOST, 0, in_memory=True)
    server.start()
    yield Bucket(server._api._httpd.server_address[1])
    server.stop()


def config_for(box, bucket, **overrides):
    return box.target_config(
        **{
            "storage_url": f"gs://{BUCKET}/lytics/in",
            "storage_username": None,
            "storage_password": None,
            "storage_host_key": None,
            "storage_options": {"endpoint_url": bucket.endpoint, "token": "anon", "project": "test"},
            **overrides,
        }
    )


@pytest.fixture
def box(make_box, bucket):
    return make_box(gcs_endpoint=bucket.endpoint)


def test_contacts_arrive_through_google_cloud_storage(box, bucket):
    people = [enter(f"p{number}@example.com", first_name="x" * 100) for number in range(5_000)]
    result = run(config_for(box, bucket), [AUDIENCE_SCHEMA, *people, state({"at": 1})])
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert len(box.list_members(LIST)) == 5_000
    assert bucket.names() == []


@pytest.mark.parametrize("prefix", ["", "/", "/lytics/in"])
def test_cordial_is_told_where_an_object_is_as_its_swagger_wants(box, bucket, prefix):
    config = config_for(box, bucket, storage_url=f"gs://{BUCKET}{prefix}", keep_files=True)
    assert run(config, MESSAGES).code == 0
    body = next(request.body for request in box.requests if request.path == "/v2/contactimports")
    folder = f"{prefix.strip('/')}/".lstrip("/")
    assert body["source"] == {
        "transport": "gcs",
        "buket": BUCKET,
        "bucket": BUCKET,
        "path": f"{folder}{body['importName']}.csv",
        "url": f"gs://{BUCKET}/{folder}{body['importName']}.csv",
    }
    assert bucket.names() == [f"{folder}kept-{body['importName']}.csv"]


def test_a_file_of_an_earlier_run_is_deleted_and_nothing_else(box, bucket):
    box.fault("job_fails", once=True)
    assert run(config_for(box, bucket), MESSAGES).code == 1
    (left,) = bucket.names()
    requests.post(
        f"{bucket.endpoint}/upload/storage/v1/b/{BUCKET}/o",
        params={"uploadType": "media", "name": "lytics/in/other.csv"},
        data=b"x",
        timeout=10,
    ).raise_for_status()
    assert run(config_for(box, bucket), MESSAGES).code == 0
    assert left not in bucket.names()
    assert bucket.names() == ["lytics/in/other.csv"]


def test_a_bucket_that_does_not_exist_is_one_sentence(box, bucket):
    result = run(config_for(box, bucket, storage_url="gs://another-bucket/in"), MESSAGES)
    assert result.code == 2
    assert result.states == []
    assert "check that the folder or bucket in storage_url exists" in result.message


def test_a_storage_without_any_login_is_one_sentence(box, bucket, tmp_path):
    options = {"endpoint_url": bucket.endpoint, "token": "google_default"}
    environment = {"HOME": str(tmp_path), "NO_GCE_CHECK": "true", "GOOGLE_APPLICATION_CREDENTIALS": ""}
    result = run(config_for(box, bucket, storage_options=options), MESSAGES, env=environment)
    assert result.code == 2
    assert "refuses the login: check storage_options.token" in result.message
