"""The tables of docs/scale.md: what a step, a checkpoint and the loader need on 8, 64, 1024 GPUs.

``python -m hrm_scale.planning.scale`` prints them as Markdown. No GPU is needed, and nothing is
measured: `fleet` says what is assumed and what is quoted.
"""

from __future__ import annotations

from hrm_scale.base.command_line import Parser
from hrm_scale.base.errors import run_cli
from hrm_scale.planning.fleet import (
    ADAPTER,
    GPUS_A_NODE,
    HOP_S,
    NVLINK,
    cases,
    latency,
    sent,
    step,
)

# GPUs and global batch: the published batch as far as it goes, 12 rows a GPU, 96 rows a GPU.
FLEETS = ((8, 768), (64, 768), (64, 6144), (1024, 12288), (1024, 98304))
WRITE_RATE = READ_RATE = 1e9  # bytes/s of one process on the shared file system; assumed
# Measured, examples/s of one core: benchmarks/results/loader-2core-cpu.json and loader-arc-....
LOADER = {
    "Sudoku": {"online": 1.21e6, "dense": 3.35e6},
    "ARC": {"online": 3.78e5, "dense": 3.88e5},
}


def step_table() -> list[str]:
    lines = _head(
        "model, task|GPUs|global batch|rows a GPU|compute ms|launch floor ms|wire ms"
        "|with 1 adapter|latency ms|step ms|exchange|examples/s"
    )
    for case in cases():
        for ranks, batch in FLEETS:
            s = step(case, ranks, batch)
            slow = "" if ranks <= GPUS_A_NODE else _ms(s.slow_wire)
            lines.append(
                f"| {case.size}, {case.task} | {ranks} | {batch:,} | {batch // ranks}"
                f" | {_ms(s.compute)} | {_ms(s.floor)} | {_ms(s.wire)} | {slow} | {_ms(s.latency)}"
                f" | {_ms(s.total)} | {s.exchange / s.total:.0%} | {batch / s.total:,.0f} |"
            )
    return lines


def wire_table() -> list[str]:
    lines = _head(
        "model|engine|gradients|parameters|sum MB|8 GPUs, NVLink|64, 8 adapters|64, 1 adapter"
    )
    ways = {"DDP, ZeRO 0": None, "ZeRO 1, 2": 1, "ZeRO 3": 3}
    for case in cases():
        if case.task != "ARC":
            continue
        for name, stage in ways.items():
            gradients, parameters, _ = sent(case, 64, stage, 768, "device")
            near = sum(sent(case, 8, stage, 768, "device")[:2])
            far = gradients + parameters
            lines.append(
                f"| {case.size} | {name} | {_mb(gradients)} | {_mb(parameters)} | {_mb(far)}"
                f" | {_ms(near / NVLINK)} ms | {_ms(far / (GPUS_A_NODE * ADAPTER))} ms"
                f" | {_ms(far / ADAPTER)} ms |"
            )
    return lines


def exchange_table() -> list[str]:
    lines = _head(
        "global batch|width|device, host: MB a step|sharded: MB a step|8 adapters, device"
    )
    for batch in (768, 12288, 98304):
        for case in cases():
            if case.task == "ARC":  # the same for all tasks
                own, cut = (sent(case, 64, None, batch, at)[2] for at in ("device", "sharded"))
                time = _ms(own / (GPUS_A_NODE * ADAPTER))
                lines.append(f"| {batch:,} | {case.width} | {_mb(own)} | {_mb(cut)} | {time} ms |")
    return lines


def latency_table() -> list[str]:
    lines = _head("GPUs|all-reduce, small|all-reduce, bulk|all-gather, small|all-gather, bulk|gloo")
    for ranks in (8, 64, 1024):
        values = [
            _ms(latency(kind, ranks, protocol))
            for kind in ("all-reduce", "all-gather")
            for protocol in ("small", "bulk")
        ]
        values.append(_ms(2 * (ranks - 1) * HOP_S))
        lines.append(f"| {ranks} | {' | '.join(value + ' ms' for value in values)} |")
    return lines


def loader_table() -> list[str]:
    lines = _head(
        "model, task|GPUs|global batch|examples/s a GPU|a node|cores a node, online|dense"
    )
    for case in cases():
        for ranks, batch in ((8, 768), (1024, 98304)):
            rate = batch / ranks / step(case, ranks, batch).total
            online, dense = (
                f"{rate * GPUS_A_NODE / LOADER[case.task][way]:.3f}" for way in ("online", "dense")
            )
            lines.append(
                f"| {case.size}, {case.task} | {ranks} | {batch:,} | {rate:,.0f}"
                f" | {rate * GPUS_A_NODE:,.0f} | {online} | {dense} |"
            )
    return lines


def checkpoint_table() -> list[str]:
    lines = _head(
        "model, task|12P|table|rank 0 writes in|carry, batch 768|12,288|98,304"
        "|read by a rank|by 8 nodes|by 128 nodes|hashed, batch 12,288"
    )
    for case in cases():
        moments, table = 12 * case.parameters, 4 * case.identifiers * case.width
        whole = moments + table
        carry = " | ".join(_gb(batch * case.slot) for batch in (768, 12288, 98304))
        lines.append(
            f"| {case.size}, {case.task} | {_gb(moments)} | {_gb(table)}"
            f" | {whole / WRITE_RATE:.1f} s | {carry} | {_gb(whole)} | {_gb(8 * whole)}"
            f" | {_gb(128 * whole)} | {(whole + 12288 * case.slot) / READ_RATE:.0f} s |"
        )
    return lines


TABLES = {
    "Time of a step": step_table,
    "Wire bytes": wire_table,
    "Puzzle table": exchange_table,
    "Latency": latency_table,
    "Loader": loader_table,
    "Checkpoints": checkpoint_table,
}


def _head(names: str) -> list[str]:
    columns = names.split("|")
    return [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]


def _ms(seconds: float) -> str:
    value = 1000 * seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _mb(amount: float) -> str:
    return f"{amount / 1e6:,.1f}"


def _gb(amount: float) -> str:
    value = amount / 1e9
    return f"{value:,.0f} GB" if value >= 100 else f"{value:.2f} GB"


def main(arguments: list[str]) -> int:
    """Entry point."""
    parser = Parser(prog="python -m hrm_scale.planning.scale", description=__doc__)
    parser.parse_args(arguments)
    for title, make in TABLES.items():
        print(f"{title}\n", *make(), "", sep="\n")
    return 0


if __name__ == "__main__":
    run_cli(main)
