from __future__ import annotations

import subprocess
import sys

import pytest

from rl_reason.tracking.wandb_tracker import has_key, resolve_mode


@pytest.mark.parametrize(
    ("mode", "key", "becomes"),
    [("online", True, "online"), ("offline", True, "offline"), ("disabled", False, "disabled")],
)
def test_modes_that_stay(mode, key, becomes, caplog):
    assert resolve_mode(mode, key) == becomes
    assert caplog.text == ""


def test_online_without_a_key_is_offline_and_says_so(caplog):
    assert resolve_mode("online", False) == "offline"
    assert "no API key" in caplog.text and "wandb sync" in caplog.text


def test_a_key_is_found_in_the_environment_and_in_netrc(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not has_key()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not has_key()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert has_key()


def test_importing_the_module_does_not_import_wandb():
    code = "import sys, rl_reason.tracking.wandb_tracker; print('wandb' in sys.modules, 'torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False False\n"
    )
