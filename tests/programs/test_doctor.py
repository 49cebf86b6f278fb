"""The doctor's verdict follows from what it finds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from hrm_scale import doctor

ROOT = Path(__file__).resolve().parents[2]
Usage = namedtuple("Usage", "total used free")


def test_report_names_what_a_run_uses(tmp_path: Path) -> None:
    report = doctor.examine(tmp_path)
    assert report.problems == []
    assert set(report.sections) == {
        "software",
        "machine",
        "devices",
        "arithmetic",
        "backends",
        "tracking",
    }
    assert report.sections["backends"]["AdamATan2"].startswith(("torch: ", "cuda-extension: "))
    assert ": " in report.sections["backends"]["attention, bfloat16"]
    text = doctor.render(report)
    assert text.splitlines()[-1].startswith("doctor: ready")
    assert text.endswith("next: ./launch.sh demo")
    # Made to be pasted in public.
    assert str(tmp_path) not in text


def test_missing_package_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda n: None if n == "safetensors" else version(n))
    monkeypatch.chdir(tmp_path)
    assert doctor.main([]) == 5
    output = capsys.readouterr().out
    assert "problem: safetensors is not installed: run ./launch.sh env" in output
    assert output.splitlines()[-1] == "doctor: not ready, 1 problem(s) above"


def test_missing_torch_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "torch" else version(name))
    monkeypatch.setitem(sys.modules, "torch", None)
    report = doctor.examine(tmp_path)
    assert report.problems == ["torch is not installed: run ./launch.sh env"]


def test_requirements_are_those_of_the_package(tmp_path: Path) -> None:
    software = doctor.examine(tmp_path).sections["software"]
    declared = [Requirement(text) for text in metadata.requires("hrm_scale") or []]
    core = {r.name for r in declared if r.marker is None or r.marker.evaluate({"extra": ""})}
    assert core
    assert {name for name in core if software.get(name) != metadata.version(name)} == set()
    optional = {r.name for r in declared if r.marker and 'extra == "s3"' in str(r.marker)}
    assert optional
    assert optional <= set(software)
    # Tools of developers are no concern of a run.
    assert "ruff" not in software
    assert "pytest" not in software


def test_requirements_follow_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requires = [
        "numpy>=900",
        "no-such-package",
        'other-system; sys_platform == "none"',
        'no-such-extra; extra == "fast"',
    ]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: requires)
    report = doctor.examine(tmp_path)
    assert report.problems == ["no-such-package is not installed: run ./launch.sh env"]
    assert any("numpy" in note and "numpy>=900" in note for note in report.notes)
    assert report.sections["software"]["no-such-extra"].startswith("not installed (optional: ")
    assert "other-system" not in report.sections["software"]


def test_uninstalled_hrm_scale_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "requires", missing)
    assert doctor.examine(tmp_path).problems == ["hrm_scale is not installed: run ./launch.sh env"]


def test_full_disk_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor.shutil, "disk_usage", lambda folder: Usage(1 << 40, 1 << 40, 1 << 20)
    )
    report = doctor.examine(tmp_path)
    assert any("disk left" in note for note in report.notes)
    assert doctor.verdict(report).startswith("ready, ")


def test_json_is_one_object() -> None:
    command = [sys.executable, "-m", "hrm_scale.doctor", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert document["ready"] is True
    assert document["sections"]["software"]["torch"]
