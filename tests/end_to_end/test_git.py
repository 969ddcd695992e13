"""A pipeline whose folders lie in a git work tree, as in any Meltano project."""

import subprocess

from tests.end_to_end.pipeline import Pipeline


def test_runs_in_a_work_tree_leave_nothing_that_git_would_take(make_box, tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    box, project = make_box(), tmp_path / "project"
    project.mkdir()
    pipeline = Pipeline(
        box,
        tmp_path,
        tap={"ledger_url": str(project / "ledger")},
        target={
            "journal_url": f"{project}/journal/",
            "rejects_url": str(project / "rejects"),
        },
    )
    assert pipeline.run().is_clean
    box.world.advance("vip_customers", enter=2, leave=1)
    assert pipeline.run().is_clean
    assert {path.name for path in project.iterdir()} >= {"journal", "ledger"}
    taken = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard", "project"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert taken.stdout == ""
