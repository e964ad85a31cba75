"""Plug-in references: names, files, modules, misses and clashes."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from rl_reason import plugins
from rl_reason.errors import PluginError
from rl_reason.plugins import Plugin, available, load, resolve

GROUP = "rl_reason.test_group"


def distribution(folder: Path, name: str, entry: str) -> None:
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entry}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_available_lists_names_with_version_and_distribution(site: Path) -> None:
    distribution(site, "first-checks", "check = first_module:Check")
    assert available(GROUP) == [Plugin("check", "1.2", "first-checks", "first_module:Check")]


def test_two_distributions_with_one_name_are_both_named(site: Path) -> None:
    distribution(site, "first-checks", "check = first_module:Check")
    distribution(site, "second-checks", "check = second_module:Check")
    with pytest.raises(PluginError, match=r"(?s)first-checks.*second-checks|second-checks.*first-checks"):
        available(GROUP)


def test_a_name_is_loaded_lazily_and_resolves_to_its_module(site: Path) -> None:
    distribution(site, "lazy-checks", "lazy = rl_reason_lazy_module:Check")
    (site / "rl_reason_lazy_module.py").write_text("class Check:\n    answer = 42\n")
    assert resolve(GROUP, "lazy") == "rl_reason_lazy_module:Check"
    assert "rl_reason_lazy_module" not in sys.modules
    assert load(GROUP, "lazy").answer == 42
    assert load(GROUP, "rl_reason_lazy_module:Check").answer == 42


def test_a_miss_names_the_nearest_and_all_others(site: Path) -> None:
    distribution(site, "first-checks", "boxed_math = a:B\nexact = a:C")
    with pytest.raises(PluginError, match=r"did you mean 'boxed_math'\? \(there are: boxed_math, exact\)"):
        load(GROUP, "boxed_maths")
    with pytest.raises(PluginError, match="nothing is there at all"):
        load("rl_reason.empty_group", "boxed_math")


def test_files_of_one_name_do_not_clash_and_paths_become_absolute(tmp_path: Path) -> None:
    for name, value in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "check.py").write_text(f"class Check:\n    value = {value}\n")
    references = [resolve(GROUP, f"{name}/check.py:Check", base=tmp_path) for name in ("one", "two")]
    assert references[0] == f"{tmp_path.resolve()}/one/check.py:Check"
    assert [load(GROUP, reference).value for reference in references] == [1, 2]
    assert load(GROUP, references[0]) is load(GROUP, references[0])
    assert load(GROUP, references[0]).__module__.startswith("rl_reason_plugin_check_")


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("check.py", "names a file but no object"),
        ("absent.py:Check", "there is no file"),
        ("check.py:Chek", "did you mean 'Check'"),
        ("broken.py:Check", "cannot be imported: ImportError: no such luck"),
        (":Check", "is not of the form"),
        ("rl_reason_no_such_module:Check", "cannot import rl_reason_no_such_module"),
    ],
)
def test_what_is_wrong_with_a_reference_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, says: str
) -> None:
    (tmp_path / "check.py").write_text("class Check: ...\n")
    (tmp_path / "broken.py").write_text("raise ImportError('no such luck')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match=says):
        load(GROUP, reference)


def test_an_entry_point_without_distribution_is_still_listed() -> None:
    entry = EntryPoint("check", "module:Check", GROUP)
    assert plugins._plugin(entry) == Plugin("check", "unknown", "unknown", "module:Check")
