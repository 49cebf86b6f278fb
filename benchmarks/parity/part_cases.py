"""Golden cases of single parts: losses, schedule, optimizers, data pipeline."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.parity.cases import Case, Report
from hrm_scale.data import DatasetMeta, DatasetWriter, Loader, open_dataset
from hrm_scale.data.order.groups import GroupTable
from hrm_scale.data.order.order import Layout, Order
from hrm_scale.data.order.reference import ReferenceOrder
from hrm_scale.models.losses import (
    log_stablemax,
    softmax_cross_entropy,
    stablemax_cross_entropy,
)
from hrm_scale.optim.adam_atan2 import AdamATan2
from hrm_scale.optim.puzzle_table import DeviceTable
from hrm_scale.optim.schedule import learning_rate


def relative(ours: Tensor, golden: Tensor) -> Tensor:
    """Difference, absolute below 1 and relative above, as one tensor to compare with zero."""
    return (ours.double() - golden.double()) / golden.double().abs().clamp(min=1)


def check_losses(case: Case, path: Path) -> Report:
    report = Report(case.name)
    groups = sorted({name.split("/")[0] for name in case.tensors})
    for group in groups:
        golden = {n.split("/")[1]: t for n, t in case.tensors.items() if n.startswith(f"{group}/")}
        logits, labels = golden["logits"].clone().requires_grad_(), golden["labels"]
        loss = stablemax_cross_entropy(logits, labels)
        zero = torch.zeros_like(loss)
        report.close("stablemax loss", relative(loss, golden["stablemax_loss"]), zero, 1e-12)
        logs = log_stablemax(logits)
        diff = relative(logs, golden["log_stablemax_f64"])
        report.close("log stablemax", diff, torch.zeros_like(diff), 1e-12)
        loss.sum().backward()
        want = golden["stablemax_grad_logits_of_sum"]
        bound = (1e-2 if logits.dtype == torch.bfloat16 else 1e-6) * float(want.abs().max())
        assert logits.grad is not None
        report.close("stablemax gradient", logits.grad, want, max(bound, 1e-12))
        soft = softmax_cross_entropy(golden["logits"], labels)
        diff = relative(soft, golden["softmax_loss"])
        report.close("softmax loss", diff, torch.zeros_like(diff), 1e-6)
    return report


def check_schedule(case: Case, path: Path) -> Report:
    report = Report(case.name)
    for row in case.meta["rows"]:
        for step, golden in row["table"]:
            ours = learning_rate(
                step,
                row["base_lr"],
                warmup_steps=row["warmup_steps"],
                total_steps=row["total_steps"],
                min_ratio=row["min_ratio"],
            )
            # At the end of a cosine to zero both are rounding of zero.
            report.number("learning rate", ours + 1e-15, golden + 1e-15, 1e-12)
    return report


def check_adam_atan2(case: Case, path: Path) -> Report:
    report = Report(case.name)
    for config in case.meta["configs"]:
        i = config["index"]
        params = {
            n: nn.Parameter(case.tensors[f"{i}/param/0/{n}"].clone()) for n in config["params"]
        }
        optimizer = AdamATan2(
            params.values(),
            lr=0.0,
            betas=(config["beta1"], config["beta2"]),
            weight_decay=config["weight_decay"],
        )
        for k, lr in enumerate(config["lr_per_step"], start=1):
            for name, param in params.items():
                grad = case.tensors.get(f"{i}/grad/{k}/{name}")
                param.grad = None if grad is None else grad.clone()
            optimizer.param_groups[0]["lr"] = lr
            optimizer.step()
            for name, param in params.items():
                close_f32(
                    report, "parameters", param.detach(), case.tensors[f"{i}/param/{k}/{name}"]
                )
        last = len(config["lr_per_step"])
        for name, param in params.items():
            for moment in ("exp_avg", "exp_avg_sq"):
                golden = case.tensors.get(f"{i}/{moment}/{last}/{name}")
                if golden is not None:
                    close_f32(report, moment, optimizer.state[param][moment], golden)
    return report


def close_f32(report: Report, quantity: str, ours: Tensor, golden: Tensor) -> None:
    """3e-7 absolute plus 1e-6 relative, as one number against 1."""
    allowed = 3e-7 + 1e-6 * golden.abs()
    report.close(quantity, (ours - golden) / allowed, torch.zeros_like(golden), 1.0)


def check_sparse_signsgd(case: Case, path: Path) -> Report:
    report = Report(case.name)
    for config in case.meta["configs"]:
        i = config["index"]
        start = case.tensors[f"{i}/weights/0"]
        rows, width = start.shape
        table = DeviceTable(rows, width, torch.device("cpu"))
        table.weights.copy_(start)
        for k in range(1, config["steps"] + 1):
            ids, grads = case.tensors[f"{i}/ids/{k}"], case.tensors[f"{i}/grads/{k}"]
            table.update(ids.flatten(), grads.flatten(0, 1), config["lr"], config["weight_decay"])
            report.close("table", table.weights, case.tensors[f"{i}/weights/{k}"], 1e-7)
    return report


def check_data_pipeline(case: Case, path: Path) -> Report:
    """Test-mode batches bit for bit, and the law of training: every group once an epoch, its
    puzzles equally likely, all examples of the chosen puzzle."""
    report = Report(case.name)
    meta = case.meta["results"]["metadata"]
    sizes = case.meta["results"]["examples_per_puzzle"]
    per_group = case.meta["results"]["puzzles_per_group"]
    arrays = {
        n.removeprefix("data/"): t.numpy() for n, t in case.tensors.items() if n.startswith("data/")
    }
    puzzles = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    group_of_puzzle = np.repeat(np.arange(len(per_group), dtype=np.int32), per_group)
    columns = {
        "inputs": arrays["inputs"],
        "labels": arrays["labels"],
        "puzzle_identifiers": arrays["puzzle_identifiers"][puzzles].astype(np.int32),
        "puzzles": puzzles,
        "groups": group_of_puzzle[puzzles],
    }
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "data"
        header = DatasetMeta(
            kind="golden",
            storage="dense",
            # The case's cells are serial numbers, beyond the vocabulary it states.
            vocab_size=1 + max(int(arrays["inputs"].max()), int(arrays["labels"].max())),
            seq_len=meta["seq_len"],
            pad_id=meta["pad_id"],
            ignore_label_id=meta["ignore_label_id"],
            blank_identifier_id=meta["blank_identifier_id"],
            num_puzzle_identifiers=meta["num_puzzle_identifiers"],
            board={},
            augmentation={"kind": "none"},
            builder={},
            extra={},
        )
        with DatasetWriter(out, header) as writer:
            writer.write_split("train", [columns])
            writer.write_split("test", [columns])
            writer.write_identifiers([str(i) for i in range(meta["num_puzzle_identifiers"])])
        dataset = open_dataset(out)
        for key, batches in case.meta["results"]["test"].items():
            size, place = key.removeprefix("gbs").split("_r")
            rank, ranks = place.split("of")
            ours = list(dataset.eval_batches("test", int(size), rank=int(rank), ranks=int(ranks)))
            report.add("test batches", abs(len(ours) - len(batches)), 0.0)
            for b, (mine, golden) in enumerate(zip(ours, batches, strict=False)):
                report.add("test rows", abs(mine.rows - golden["global_effective_batch_size"]), 0.0)
                for name, value in mine.batch._asdict().items():
                    golden_rows = case.tensors[f"test/{key}/{b}/{name}"]
                    report.equal(f"test {name}", torch.from_numpy(value), golden_rows)
        check_training_law(report, Loader(dataset, "train", seed=0, global_batch_size=1), columns)
    check_published_order(report, case.meta["results"])
    return report


def check_training_law(report: Report, loader: Loader, columns: dict[str, np.ndarray]) -> None:
    epochs, position = 2000, 0
    where = {row.tobytes(): i for i, row in enumerate(columns["inputs"].astype(np.int32))}
    visits: Counter[int] = Counter()
    groups = int(columns["groups"].max()) + 1
    for epoch in range(epochs):
        stop = position
        while loader.epoch_of(stop)[0] == epoch:
            stop += 1
        rows = [where[row.tobytes()] for row in loader.fetch(position, stop).inputs]
        seen = Counter(int(columns["puzzles"][row]) for row in rows)
        by_group = Counter(int(columns["groups"][columns["puzzles"] == p][0]) for p in seen)
        report.add("each group once an epoch", float(by_group != Counter(range(groups))), 0.0)
        whole = all(n == int((columns["puzzles"] == p).sum()) for p, n in seen.items())
        report.add("puzzles whole", float(not whole or len(set(rows)) != len(rows)), 0.0)
        visits.update(seen.keys())
        position = stop
    for group in range(groups):
        members = np.unique(columns["puzzles"][columns["groups"] == group])
        expected = epochs / len(members)
        chi2 = sum((visits[int(p)] - expected) ** 2 / expected for p in members)
        # Mean k-1, deviation sqrt(2(k-1)): five deviations above the mean.
        freedom = len(members) - 1
        report.add("puzzles uniform (chi-square)", chi2, freedom + 5 * (2 * freedom) ** 0.5 + 1e-9)


def check_published_order(report: Report, results: dict[str, Any]) -> None:
    """Frequencies of `data.sampling=reference` against those measured of the published pipeline."""
    sizes, per_group = results["examples_per_puzzle"], results["puzzles_per_group"]
    puzzle_of = np.repeat(np.arange(len(sizes)), sizes)
    group_of = np.repeat(np.arange(len(per_group)), per_group)
    for name, recorded in results.items():
        numbers = [int(number) for number in re.findall(r"\d+", name)]
        if name.startswith("train_measured_over_"):
            trials, batch, epochs = numbers
            parts = published_iterations(sizes, per_group, trials, batch, epochs)
            shown = np.array([np.bincount(puzzle_of[part], minlength=len(sizes)) for part in parts])
            cut = (shown > 0) & (shown < sizes)
            ours = {
                "batches_per_epoch": Counter(len(part) // batch for part in parts),
                "distinct_groups_seen_per_epoch": Counter(
                    len(np.unique(group_of[counts > 0])) for counts in shown
                ),
                "puzzle_visits": Counter(np.nonzero(shown)[1].tolist()),
                "example_counts": Counter(np.concatenate(parts).tolist()),
                "group_visits": Counter({0: int((shown > 0).sum())}),
                "visits_cut_by_batch_end": Counter({0: int(cut.sum())}),
                "visits_with_repeated_example": Counter(
                    {0: sum(len(part) - len(np.unique(part)) for part in parts)}
                ),
            }
            for quantity, golden in recorded.items():
                if quantity not in ours:
                    report.skip(quantity, "unknown quantity")
                    continue
                golden = golden if isinstance(golden, dict) else {"0": golden}
                same_frequencies(report, quantity.replace("_", " "), ours[quantity], golden)
        elif name.startswith("train_batches_per_iter_"):
            (epochs,) = numbers
            parts = published_iterations(sizes, per_group, sum(recorded.values()), 4, epochs)
            lengths = Counter(len(part) // 4 for part in parts)
            same_frequencies(report, "batches per iteration", lengths, recorded)
        elif name.startswith("train_"):
            report.skip(name, "unknown quantity")


def published_iterations(
    sizes: list[int], per_group: list[int], iterations: int, batch: int, epochs: int
) -> list[np.ndarray]:
    """The rows of each iteration of `epochs` epochs, int64 [rows]."""
    row_bounds, puzzle_bounds = (
        np.concatenate([[0], np.cumsum(n)]).astype(np.int64) for n in (sizes, per_group)
    )
    table = GroupTable(row_bounds, puzzle_bounds, np.array([0, len(per_group)]))
    layout = Layout(np.array([sum(sizes)]), np.array([0, 1]), table)
    order = ReferenceOrder(Order(layout, 3, None), 3, batch, epochs)
    starts = [order.epoch_start(epochs * iteration) for iteration in range(iterations + 1)]
    rows = np.concatenate([piece.rows for piece in order.pieces(0, starts[-1])])
    return [rows[start:stop] for start, stop in itertools.pairwise(starts)]


def same_frequencies(
    report: Report, quantity: str, ours: Counter[int], golden: dict[str, int]
) -> None:
    """Counts of equally many trials differ by chance alone: five standard deviations of it."""
    for value in ours.keys() | {int(key) for key in golden}:
        mine, theirs = ours[value], golden.get(str(value), 0)
        report.add(quantity, abs(mine - theirs) / (mine + theirs + 1) ** 0.5, 5.0)
