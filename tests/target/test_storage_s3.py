"""Import files and rejects in S3 and S3-compatible storage."""

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, run, started, state
from tests.target.servers import HOST, cut_line

MESSAGES = [AUDIENCE_SCHEMA, enter("ada@example.com", first_name="Ada"), state({"at": 1})]
BUCKET = "imports-bucket"
KEY = "AKIAEXAMPLE"
SECRET = "secret-access-key"
REGION = "eu-west-1"


@pytest.fixture
def s3():
    server = ThreadedMotoServer(HOST, port=0, verbose=False)
    server.start()
    client = boto3.client(
        "s3",
        endpoint_url="http://{}:{}".format(*server.get_host_and_port()),
        region_name=REGION,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield client
    # All of moto's servers in a process share what they hold.
    for key in keys(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    client.delete_bucket(Bucket=BUCKET)
    server.stop()


@pytest.fixture
def box(make_box, s3):
    return make_box(s3_endpoint=s3.meta.endpoint_url)


def config_for(box, s3, **overrides):
    return box.target_config(
        **{
            "storage_url": f"s3://{BUCKET}/lytics/in",
            "storage_username": KEY,
            "storage_password": SECRET,
            "storage_host_key": None,
            "storage_options": {"endpoint_url": s3.meta.endpoint_url, "region": REGION},
            **overrides,
        }
    )


def keys(s3):
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_contacts_arrive_through_s3_and_the_file_is_deleted(box, s3):
    result = run(config_for(box, s3), MESSAGES)
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert box.list_members(LIST) == {"ada@example.com"}
    assert keys(s3) == []


@pytest.mark.parametrize("prefix", ["", "/", "/lytics/in", "/with%20space/"])
def test_cordial_is_told_where_an_object_is_as_its_swagger_wants(box, s3, prefix):
    result = run(config_for(box, s3, storage_url=f"s3://{BUCKET}{prefix}", keep_files=True), MESSAGES)
    assert result.code == 0, result.log
    (key,) = keys(s3)
    folder, _, kept = key.rpartition("/")
    path = f"{folder}/{kept.removeprefix('kept-')}".lstrip("/")
    source = next(request.body["source"] for request in box.requests if request.path == "/v2/contactimports")
    assert source == {
        "transport": "s3",
        "aws_access_key_id": KEY,
        "aws_secret_access_key": SECRET,
        "aws_bucket": BUCKET,
        "aws_region": REGION,
        "path": path,
        "url": f"s3://{BUCKET}/{path}".replace(" ", "%20"),
    }


def test_cordial_can_have_keys_of_its_own(box, s3):
    result = run(config_for(box, s3, import_username="AKIAREADER", import_password="reads-only"), MESSAGES)
    assert result.code == 0, result.log
    source = next(request.body["source"] for request in box.requests if request.path == "/v2/contactimports")
    assert (source["aws_access_key_id"], source["aws_secret_access_key"]) == ("AKIAREADER", "reads-only")


def test_cordial_is_told_no_keys_where_a_role_lets_it_in(box, s3):
    environment = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
    config = config_for(
        box,
        s3,
        storage_username=None,
        storage_password=None,
        storage_options={"endpoint_url": s3.meta.endpoint_url},
    )
    run(config, MESSAGES, env=environment)
    source = next(request.body["source"] for request in box.requests if request.path == "/v2/contactimports")
    assert source["aws_region"] == REGION
    assert not {"aws_access_key_id", "aws_secret_access_key", "username", "password"} & set(source)


def test_a_bucket_without_its_region_is_one_sentence(box, s3):
    config = config_for(box, s3, storage_options={"endpoint_url": s3.meta.endpoint_url})
    result = run(config, MESSAGES, env={"AWS_REGION": "", "AWS_DEFAULT_REGION": ""})
    assert result.code == 2
    assert "Cordial needs aws_region to fetch a file by s3: set storage_options.region." in result.message


def test_a_bucket_that_does_not_exist_is_one_sentence(box, s3):
    result = run(config_for(box, s3, storage_url="s3://another-bucket/in"), MESSAGES)
    assert result.code == 2
    assert result.states == []
    assert "check that the folder or bucket in storage_url exists" in result.message
    assert box.contacts() == {}


def test_a_storage_without_any_login_is_one_sentence(box, s3):
    config = config_for(box, s3, storage_username=None, storage_password=None)
    environment = dict.fromkeys(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], "")
    result = run(
        config, MESSAGES, env={**environment, "AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nowhere"}
    )
    assert result.code == 2
    assert "refuses the login" in result.message


def test_an_upload_that_is_cut_off_leaves_no_object(box, s3):
    port = int(s3.meta.endpoint_url.rpartition(":")[2])
    people = [enter(f"p{number}@example.com", first_name="x" * 100) for number in range(5_000)]
    with cut_line(port, after_bytes=50_000) as narrow:
        options = {
            "endpoint_url": f"http://{HOST}:{narrow}",
            "region": REGION,
            "config_kwargs": {"retries": {"max_attempts": 0}},
        }
        with started(config_for(box, s3, storage_options=options)) as running:
            running.write([AUDIENCE_SCHEMA, *people, state({"at": 1})])
            running.end_input()
            result = running.result()
    assert result.code == 1
    assert result.states == []
    assert f"in the storage at s3://{BUCKET}/lytics/in" in result.message
    assert keys(s3) == []
    assert box.contacts() == {}
    assert SECRET not in result.log


def test_a_file_is_replaced_and_renamed_after_a_lost_answer(box, s3):
    box.fault("answer_lost", path="contactimports", once=True)
    box.fault("jobs_listed_late", 60)
    result = run(config_for(box, s3), MESSAGES)
    assert result.code == 0, result.log
    assert box.list_members(LIST) == {"ada@example.com"}
    assert keys(s3) == []


def test_another_prefix_is_left_alone(box, s3):
    s3.put_object(Bucket=BUCKET, Key="lytics/other.csv", Body=b"x")
    s3.put_object(Bucket=BUCKET, Key="lytics/in/other.csv", Body=b"x")
    assert run(config_for(box, s3), MESSAGES).code == 0
    assert keys(s3) == ["lytics/in/other.csv", "lytics/other.csv"]


def test_rejects_go_to_the_bucket_with_the_storages_login(box, s3):
    config = config_for(box, s3, rejects_url=f"s3://{BUCKET}/rejects")
    result = run(config, [AUDIENCE_SCHEMA, enter("no address"), state({"at": 1})])
    assert result.code == 0, result.log
    (key,) = keys(s3)
    assert key.startswith("rejects/target-cordial-")
    assert b"no address" in s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def test_rejects_that_cannot_be_written_stop_the_state(box, s3):
    config = config_for(box, s3, rejects_url="s3://another-bucket/rejects")
    environment = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    environment |= {"AWS_ENDPOINT_URL": s3.meta.endpoint_url, "AWS_REGION": REGION}
    result = run(config, [AUDIENCE_SCHEMA, enter("no address"), state({"at": 1})], env=environment)
    assert result.code == 2
    assert result.states == []
    assert "The reject report at s3://another-bucket/rejects has no place to write" in result.message
    assert "check that the folder or bucket in rejects_url exists" in result.message
    assert "no address" not in result.log
