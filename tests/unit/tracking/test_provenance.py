from __future__ import annotations

import platform
import subprocess

from rl_reason.tracking.provenance import describe_environment, git_state


def test_what_a_run_ran_on():
    found = describe_environment()
    assert found["python"] == platform.python_version()
    assert found["cores"] >= 1
    assert {"numpy", "pyarrow", "torch"} <= found["packages"].keys()


def test_git_state_tells_commit_and_changes(tmp_path):
    assert git_state(tmp_path) is None
    as_someone = ["-c", "user.name=n", "-c", "user.email=e@example.org"]

    def git(*arguments):
        return subprocess.run(
            ["git", "-C", tmp_path, *as_someone, *arguments], check=True, capture_output=True, text=True
        )

    git("init", "-q")
    assert git_state(tmp_path) == {"commit": None, "changed": False}
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "HEAD").stdout.strip()
    assert git_state(tmp_path) == {"commit": commit, "changed": False}
    (tmp_path / "a").write_text("2")
    assert git_state(tmp_path) == {"commit": commit, "changed": True}
