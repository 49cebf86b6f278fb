"""Comparing replayed training and evaluation cases with the golden numbers."""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.parity.cases import Case, Report, as_tensor, load_case, noise
from benchmarks.parity.replay import PREFIX, batch_of, replay, restore
from benchmarks.tiny.models import eval_steps
from benchmarks.tiny.ranks import run_ranks
from hrm_scale.engine import PlainEngine, open_engine
from hrm_scale.evaluation.observers.tally import Tally
from hrm_scale.evaluation.rollout import ModelOutputs, Query
from hrm_scale.models import act_loss

EXACT = ("steps", "halted", "inputs", "labels", "puzzle_identifiers", "puzzle_emb_local_ids")
STEP_1 = {"logits": 5e-5, "z_H": 5e-5, "z_L": 5e-5}
Q = 2e-5
INPUTS = ("state", "batch", "draws")
"""First parts of the names of tensors that a case starts from."""


def step_1(case: Case) -> dict[str, float]:
    """Tolerances of the first step; TRM's recursion is deeper."""
    deep = case.meta["config"].get("model") == "trm"
    return dict.fromkeys(STEP_1, 5e-4) if deep else STEP_1


def is_bf16(case: Case) -> bool:
    return case.meta["config"]["arch"].get("forward_dtype") == "bfloat16"


def check_train(case: Case, path: Path) -> Report:
    report = Report(case.name)
    if case.ranks == 1:
        compare(report, case, replay(case, PlainEngine("cpu")), rank=None)
    else:
        for engine in ("DDP", "ZeRO-1"):
            report.through = engine
            for rank, measured in enumerate(replay_on_ranks(path, case.ranks, engine)):
                compare(report, case, measured, rank)
    return report


def replay_on_ranks(path: Path, ranks: int, engine: str) -> list[dict[str, Tensor]]:
    """Replay on that many real processes, joined by gloo."""
    with tempfile.TemporaryDirectory() as out:
        settings = "off"
        if engine == "ZeRO-1":
            settings = f"{out}/zero.json"
            Path(settings).write_text(json.dumps({"zero_optimization": {"stage": 1}}))
        run_ranks(ranks, partial(replay_as_rank, path, settings, Path(out)))
        return [load_file(Path(out) / f"{rank}.safetensors") for rank in range(ranks)]


def replay_as_rank(path: Path, deepspeed: str, out: Path) -> None:
    case = load_case(path)
    engine = open_engine(
        device="cpu",
        deepspeed=deepspeed,
        global_batch_size=case.meta["config"]["global_batch_size"],
        accumulation=1,
        bf16_forward=False,
    )
    measured = replay(case, engine)
    tensors = {name: tensor.contiguous() for name, tensor in measured.items()}
    save_file(tensors, out / f"{engine.rank}.safetensors")
    engine.close()


def compare(report: Report, case: Case, measured: dict[str, Tensor], rank: int | None) -> None:
    prefix = "" if rank is None else f"rank{rank}/"
    loose = is_bf16(case)
    floor = case.meta.get("noise_floor", {})
    spread = (floor if rank is None else floor.get(f"rank{rank}", {})).get("spread", {})
    optim = case.meta["config"]["optim"]
    flip = {"puzzle_emb": 2.1 * optim["puzzle_emb_lr"], "dense": 2.1 * optim["lr"]}

    for name, golden in case.tensors.items():
        if name.startswith("rank") and not name.startswith(prefix):
            continue
        short = name.removeprefix(prefix)
        parts = short.split("/")
        if parts[0] == "step":
            leaf = parts[-1]
            if int(parts[1]) > case.meta["config"]["total_steps"]:
                report.skip(
                    "/".join(parts[:2]), "call beyond total_steps, it only averages weights"
                )
                continue
            ours = measured[name]
            if leaf in EXACT:
                report.equal(leaf if parts[2] != "current" else f"current {leaf}", ours, golden)
                continue
            first = step_1(case).get(leaf, Q)
            tolerance = 0.3 if loose else max(first, noise(spread, short))
            report.close(leaf, ours, golden, tolerance)
        elif parts[0] == "grad":
            ours = measured[name]
            bound = max(5e-6, 1e-3 * float(golden.abs().max()))
            report.close(
                "puzzle gradient" if parts[-1] == "puzzle_emb_local" else "gradients",
                ours,
                golden,
                0.15 * float(golden.abs().max()) + 5e-3 if loose else bound,
            )
        elif parts[0] == "ema":
            report.close("averaged parameters", measured[name], golden, 3e-5, rare=flip["dense"])
        elif parts[0] == "final":
            kind = "puzzle_emb" if "puzzle_emb" in short else "dense"
            quantity = "final puzzle table" if kind == "puzzle_emb" else "final parameters"
            tolerance = 3e-2 if loose else 3e-5
            report.close(quantity, measured[name], golden, tolerance, rare=flip[kind])
        elif parts[0] not in INPUTS:
            report.skip(short, "unknown quantity")

    results = case.meta["results"] if rank is None else case.meta["results"][f"rank{rank}"]
    for step in results["steps"]:
        if "metrics" in step:
            compare_numbers(report, case, step, measured, loose)
        elif not step.get("skipped"):
            report.skip(f"results of step {step['step']}", "no metrics are recorded")


def compare_numbers(
    report: Report, case: Case, step: dict[str, Any], measured: dict[str, Tensor], loose: bool
) -> None:
    key = f"json/{step['step']}"
    relative = 5e-2 if loose else (1e-5 if step["step"] == 1 else 1e-4)
    report.number("loss", float(measured[f"{key}/loss"]), step["loss"], relative)
    for name, dtype in step.get("metric_dtypes", {}).items():
        ours = measured[f"{key}/metrics/{name}"]
        report.add("metric dtypes", float(str(ours.dtype) != f"torch.{dtype.split('.')[-1]}"), 0.0)
    for group in ("metrics", "reduced_metrics"):
        for name, golden in (step.get(group) or {}).items():
            value = float(measured[f"{key}/{group}/{name}"])
            if abs(value - golden) <= 1e-9:
                report.number(group, value, value, relative)
            else:
                report.number(group, value, golden, relative)
    for name, golden in step["lrs"].items():
        if f"{key}/lrs/{name}" not in measured:
            report.skip(f"learning rate of {name}", "unknown optimizer")
            continue
        report.number("learning rates", float(measured[f"{key}/lrs/{name}"]), golden, 1e-12)
    for name, golden in step.get("grad_norms", {}).items():
        bound = 0.3 if loose else 2e-3
        norm = measured.get(f"{key}/grad_norms/{name}")
        if norm is None:
            report.add(f"gradient norm of {name} missing", float("inf"), bound)
        elif max(golden, float(norm)) > 1e-7:
            report.number("gradient norms", float(norm), golden, bound)
    for name in step.get("params_without_grad", []):
        report.add(
            "parameters without gradient", float(f"{key}/grad_norms/{name}" in measured), 0.0
        )
    for name, golden in step.get("param_norms", {}).items():
        if f"{key}/param_norms/{name}" not in measured:
            report.add(f"parameter norm of {name} missing", float("inf"), 0.0)
            continue
        ours = measured[f"{key}/param_norms/{name}"]
        report.number("parameter norms", float(ours), golden, 1e-2 if loose else 1e-4)


def check_eval(case: Case, path: Path) -> Report:
    report = Report(case.name)
    model, table = restore(case)
    model.eval()
    spread = case.meta.get("noise_floor", {}).get("spread", {})
    config = case.meta["config"]
    unseen = {name for name in case.tensors if name.startswith("eval/")}
    tally = Tally(config["vocab_size"], 0, config["loss_type"], torch.device("cpu"))
    for batch_result in case.meta["results"]["batches"]:
        b = batch_result["batch"]
        batch = batch_of(case.tensors, f"batch/{b}")
        for k, (carry, outputs) in enumerate(eval_steps(model, table, batch), start=1):
            loss, metrics = act_loss(outputs, carry, config["loss_type"])
            seen: dict[str, Tensor] = {
                **{n: t for n, t in outputs._asdict().items() if t is not None},
                "steps": carry.steps,
                "halted": carry.halted,
                **{f"z_{level}": z for level, z in zip("HL", carry.z, strict=False)},
            }
            for name, ours in seen.items():
                key = f"eval/{b}/{k}/{name}"
                if key not in case.tensors:
                    continue
                unseen.discard(key)
                if name in EXACT:
                    report.equal(name, ours, case.tensors[key])
                else:
                    tolerance = max(step_1(case).get(name, Q), noise(spread, key))
                    report.close(name, ours, case.tensors[key], tolerance)
            golden = batch_result["steps"][k - 1]
            report.number("loss", float(loss), golden["loss"], 1e-5)
            for name, value in golden["metrics"].items():
                report.number("metrics", float(metrics[name]) + 1e-9, value + 1e-9, 1e-5)
            report.add(
                "all rows finished", float(bool(carry.halted.all()) != golden["all_finish"]), 0.0
            )
        query = Query(carry.data, None, np.arange(len(carry.steps)))
        q = outputs.q_halt_logits, outputs.q_continue_logits
        tally.add(ModelOutputs(query, carry.steps, outputs.logits, *q, last=True))
    for key in sorted(unseen):
        report.skip(key, "unknown quantity")
    means = tally.result()
    aggregated = case.meta["results"].get("evaluate_result", {"all": {}})
    for name, value in aggregated["all"].items():
        report.number("aggregated evaluation", means[name], value, 1e-5)
    return report


def check_init(case: Case, path: Path) -> Report:
    """Shape, mean, deviation and bounds of a fresh model against the reference's."""
    from benchmarks.parity.replay import TABLE, model_config
    from hrm_scale.models import build_model

    report = Report(case.name)
    for group in case.meta.values():
        if not isinstance(group, dict) or "tensors" not in group:
            continue
        torch.manual_seed(0)
        model = build_model(model_config(group))
        count = sum(p.numel() for p in model.parameters())
        report.add("parameter count", abs(count - group["n_parameters"]), 0.0)
        ours = {f"{PREFIX}{name}": value for name, value in model.state_dict().items()}
        params = {f"{PREFIX}{name}" for name, _ in model.named_parameters()}
        golden = {n: s for n, s in group["tensors"].items() if not n.endswith(TABLE)}
        report.add("tensor names", float(len(set(ours) ^ set(golden))), 0.0)
        for name, stats in golden.items():
            value = as_tensor(ours[name]).double()
            report.add("shapes", float(list(value.shape) != stats["shape"]), 0.0)
            report.add("is a parameter", float((name in params) != stats["is_parameter"]), 0.0)
            size, std = value.numel(), max(stats["std"], 1e-9)
            if stats["std"] == 0:
                report.add("constants", float((value - stats["mean"]).abs().max()), 1e-7)
                continue
            # Both are samples: allow five standard errors of the difference of two samples.
            error = 5 * std * (2 / size) ** 0.5
            report.add("means", abs(float(value.mean()) - stats["mean"]) / error, 1.0)
            report.add("deviations", abs(float(value.std()) - stats["std"]) / error, 1.0)
            # Nothing may lie beyond the cut, which large tensors come close to.
            edge = max(abs(stats["min"]), abs(stats["max"]))
            slack = 1.02 if size > 4096 else 1.15
            report.add("bounds", float(value.abs().max()) / edge, slack)
    return report
