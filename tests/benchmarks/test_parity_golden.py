"""The golden cases of the published implementation, and that the check can fail."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.parity.cases import Case, load_case
from benchmarks.parity.golden import check_for, main
from benchmarks.parity.replay import replay
from benchmarks.parity.train_cases import check_train
from hrm_scale.engine import PlainEngine
from hrm_scale.optim.adam_atan2 import AdamATan2

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
CASES = sorted(GOLDEN.glob("*.json"))
# Every kind of case that must be known, whatever else lies in the folder.
REQUIRED = ("a_", "b_", "b2_", "b3_", "c_", "d_", "e_", "f_", "g_", "h1_", "h2_", "i_", "j_")
REQUIRED += ("init_stats_hrm", "init_stats_trm")
SEVERAL_PROCESSES = ("b2_",)

pytestmark = pytest.mark.skipif(not CASES, reason="no ../shared/golden beside this clone")


def marked(path: Path) -> object:
    several = path.stem.startswith(SEVERAL_PROCESSES)
    marks = [pytest.mark.multi, pytest.mark.slow] if several else []
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", [marked(path) for path in CASES])
def test_case(path: Path) -> None:
    case = load_case(path)
    check = check_for(case)
    assert check is not None
    report = check(case, path)
    assert report.rows
    missed = [row for row in report.rows.values() if not row.passed]
    assert not missed


def test_every_required_kind_is_there_and_known() -> None:
    for prefix in REQUIRED:
        found = [path for path in CASES if path.stem.startswith(prefix)]
        assert found, prefix
        assert all(check_for(load_case(path)) is not None for path in found), prefix


def copy_of(name: str, folder: Path) -> Path:
    (source,) = (path for path in CASES if path.stem.startswith(name))
    for path in source.parent.glob(f"{source.stem}.*"):
        shutil.copy(path, folder)
    return folder / source.name


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("a_", "eval/"),
        ("b_", "step/1/logits"),
        ("b_", "step/3/q_halt_logits"),
        ("c_", "final/"),
        ("c_", "grad/1/"),
        ("d_", "log_stablemax"),
        ("f_", "/param/"),
        ("g_", "/weights/"),
    ],
)
def test_one_changed_number_is_a_miss(
    name: str, tensor: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy_of(name, tmp_path)
    file = path.with_suffix(".safetensors")
    tensors = load_file(file)
    chosen = [n for n in sorted(tensors) if tensor in n and tensors[n].is_floating_point()][-1]
    value = tensors[chosen].clone()
    value.view(-1)[value.numel() // 2] += 0.05 * max(1.0, float(value.abs().max()))
    save_file({**tensors, chosen: value}, file)
    assert main([str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "MISS" in out
    assert "golden cases: 0 passed, 1 failed, 0 not implemented" in out


def test_a_changed_flag_and_a_changed_loss_are_misses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy_of("c_", tmp_path)
    assert main([str(tmp_path)]) == 0
    document = path.read_text()
    meta = json.loads(document)
    meta["results"]["steps"][0]["loss"] *= 1.001
    path.write_text(json.dumps(meta))
    assert main([str(tmp_path)]) == 1
    path.write_text(document)
    tensors = load_file(path.with_suffix(".safetensors"))
    halted = torch.logical_not(tensors["step/1/halted"].bool())
    changed = halted.to(tensors["step/1/halted"].dtype)
    save_file({**tensors, "step/1/halted": changed}, path.with_suffix(".safetensors"))
    assert main([str(tmp_path)]) == 1
    assert "halted" in capsys.readouterr().out


def test_calls_beyond_the_last_step_average_the_weights_once_more() -> None:
    """The published loop ignores such a batch, yet averages. The case is our own replay of four
    steps, with a fifth call whose averages are computed here."""
    (path,) = (path for path in CASES if path.stem.startswith("h1_") and "train" in path.stem)
    case = load_case(path)
    config = case.meta["config"] | {"total_steps": 4, "run_steps": 4}
    ended = replay(replace(case, meta=case.meta | {"config": config}), PlainEngine("cpu"))
    rate = config["ema_rate"]
    expected = {
        n: t for n, t in case.tensors.items() if n.startswith(("state/", "batch/", "draws/"))
    }
    expected |= {n: t for n, t in ended.items() if n.startswith("final/")}
    averages = {n: t for n, t in ended.items() if n.startswith("ema/")}
    assert averages
    for name, average in averages.items():
        raw = ended[name.replace("ema/", "final/")]
        expected[name] = (average.double() * rate + raw.double() * (1 - rate)).float()
    longer = config | {"run_steps": 5}
    meta = {"config": longer, "results": {"steps": [{"step": 5, "skipped": True}]}}
    report = check_train(Case("longer", meta, expected), path)
    assert set(report.rows) == {"averaged parameters", "final parameters", "final puzzle table"}
    assert report.passed, report.rows
    assert not check_train(Case("longer", meta, expected | averages), path).passed


def test_what_no_check_compares_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy_of("c_", tmp_path)
    assert main([str(tmp_path)]) == 0
    assert "skipped:" not in capsys.readouterr().out
    file = path.with_suffix(".safetensors")
    more = {"step/9/logits": torch.zeros(2), "momentum/1": torch.zeros(2)}
    save_file(load_file(file) | more, file)
    assert main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines() if "skipped:" in line] == [
        "momentum/1",
        "step/9",
    ]
    assert "2 quantities skipped" in out


def test_second_moments_that_are_denormals_equal_the_published_bits() -> None:
    (path,) = (path for path in CASES if path.stem.startswith("f_"))
    case = load_case(path)
    tiny = torch.finfo(torch.float32).tiny
    compared = 0
    for config in case.meta["configs"]:
        i = config["index"]
        parameter = torch.nn.Parameter(case.tensors[f"{i}/param/0/w"].clone())
        betas = (config["beta1"], config["beta2"])
        optimizer = AdamATan2([parameter], lr=1e-3, betas=betas)
        for k in range(1, 6):
            parameter.grad = case.tensors[f"{i}/grad/{k}/w"].clone()
            optimizer.step()
        golden = case.tensors[f"{i}/exp_avg_sq/5/w"]
        denormal = (golden > 0) & (golden < tiny)
        assert torch.equal(optimizer.state[parameter]["exp_avg_sq"][denormal], golden[denormal])
        compared += int(denormal.sum())
    assert compared >= 20


def test_other_dimensions_come_from_the_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A theta that the case does not have must show, or it is not read from there."""
    path = copy_of("b_", tmp_path)
    meta = json.loads(path.read_text())
    meta["config"]["arch"]["rope_theta"] = 10.0
    path.write_text(json.dumps(meta))
    assert main([str(tmp_path)]) == 1
    assert "MISS" in capsys.readouterr().out


def test_nothing_to_check_is_not_a_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no golden case" in capsys.readouterr().err
    assert main([]) == 2
    assert main(["--help"]) == 0
    for path in CASES:
        if check_for(load_case(path)) is None:
            shutil.copy(path, tmp_path)
    if list(tmp_path.iterdir()):
        assert main([str(tmp_path)]) == 1
