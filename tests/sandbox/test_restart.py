"""What outlives a restart of the sandbox: contacts, lists, attributes, jobs and files."""

import contextlib

from sandbox import Sandbox
from tests.sandbox.calls import call_of, cordial, imported, start

PEOPLE = "channels.email.address,first_name\r\nada@example.com,Ada\r\n"


def test_contacts_lists_attributes_jobs_and_files_outlive_a_restart(tmp_path):
    with Sandbox(tmp_path) as box:
        cordial(box, "POST", "/accountlists", {"name": "Sellers", "enhanced": False})
        cordial(box, "POST", "/accountcontactattributes", {"key": "size", "name": "Size", "type": "number"})
        imported(box, PEOPLE, lists={"addTo": ["Sellers"]})
        shown = [cordial(box, "GET", path).json() for path in
                 ("/accountlists", "/accountcontactattributes", "/contacts", "/jobs")]  # fmt: skip
        audience = box.world.audience("vip_customers").id
    with Sandbox(tmp_path) as box:
        assert shown == [cordial(box, "GET", path).json() for path in
                         ("/accountlists", "/accountcontactattributes", "/contacts", "/jobs")]  # fmt: skip
        assert box.files() == ["people.csv"]
        assert box.world.audience("vip_customers").id == audience


def test_a_job_that_was_under_way_has_failed_after_a_restart(tmp_path):
    with Sandbox(tmp_path) as box:
        box.fault("job_never_ends", once=True)
        stuck = start(box, PEOPLE)
        with contextlib.suppress(TimeoutError):
            box.wait_idle(0.1)
        box.fault("slow_jobs", 60)
        slow = start(box, PEOPLE)
        box.fault("late_fetch", 60)
        waiting = cordial(box, "POST", "/contactimports", call_of(box)).json()["jobId"]
    with Sandbox(tmp_path) as box:
        box.wait_idle()
        for job_id in (stuck, slow, waiting):
            job = cordial(box, "GET", f"/jobs/{job_id}").json()
            assert job["status"] == "Failed"
            assert job["times"]["end"]
        assert imported(box, PEOPLE)["status"] == "Done"
