"""Replaying a golden training case through the project's own training step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.parity.cases import Case
from hrm_scale.checkpoint.averages import split_averages
from hrm_scale.engine import Engine
from hrm_scale.models import ActModel, Draws, ModelConfig, build_model
from hrm_scale.optim.adam_atan2 import AdamATan2
from hrm_scale.optim.puzzle_table import DeviceTable, PuzzleTable
from hrm_scale.optim.schedule import learning_rate
from hrm_scale.training.step import StepResult, StepSettings, reduced_metrics, train_step

PREFIX = "model."
TABLE = "inner.puzzle_emb.weights"
ARCHITECTURES = {"hrm": "hrm_v1", "trm": "trm", "base": "hrm_v2"}


def model_config(config: dict[str, Any]) -> ModelConfig:
    """Every dimension and constant of a case, from its JSON, and what its code fixes."""
    arch = dict(config["arch"])
    dtype = getattr(torch, arch.pop("forward_dtype"))
    name = ARCHITECTURES[config.get("model") or _architecture(arch)]
    if name == "trm":
        arch |= {"grad_cycles": None}
    if name == "hrm_v2":
        arch |= {"q_continue": "untrained"}
    if arch.get("no_ACT_continue"):
        arch |= {"q_continue": "none"}
    known = ModelConfig.__dataclass_fields__
    return ModelConfig(
        name=name,
        vocab_size=config["vocab_size"],
        seq_len=config["seq_len"],
        forward_dtype=dtype,
        # The baseline has one level, and no cycles of it.
        **{"L_layers": 0, "L_cycles": 1}
        | {key: value for key, value in arch.items() if key in known},
    )


def _architecture(arch: dict[str, Any]) -> str:
    """Which published model has these keys, where the case does not say."""
    return "trm" if "mlp_t" in arch else "hrm" if "L_layers" in arch else "base"


def restore(case: Case, kind: str = "state") -> tuple[ActModel, PuzzleTable | None]:
    """Model and puzzle table holding the case's initial state."""
    config = case.meta["config"]
    model = build_model(model_config(config))
    state = {
        name.removeprefix(f"{kind}/{PREFIX}"): value
        for name, value in case.tensors.items()
        if name.startswith(f"{kind}/")
    }
    weights = state.pop(TABLE, None)
    model.load_state_dict({name: value.float() for name, value in state.items()}, strict=True)
    if weights is None:
        return model, None
    rows, width = weights.shape
    table = DeviceTable(rows, width, torch.device("cpu"))
    table.weights.copy_(weights)
    return model, table


def batch_of(tensors: dict[str, Tensor], key: str) -> dict[str, Tensor]:
    return {name: tensors[f"{key}/{name}"] for name in ("inputs", "labels", "puzzle_identifiers")}


def replay(case: Case, engine: Engine) -> dict[str, Tensor]:
    """Run the case's training steps as this rank; returns everything measured, by golden name.

    Scalars of the JSON appear as tensors under `json/k/…`. Calls beyond `total_steps` train
    nothing, but the published loop averages the weights once more in each.
    """
    config, optim = case.meta["config"], case.meta["config"]["optim"]
    prefix = f"rank{engine.rank}/" if case.ranks > 1 else ""
    model, table = restore(case)
    optimizer = AdamATan2(
        model.parameters(),
        lr=0.0,
        betas=(optim["beta1"], optim["beta2"]),
        weight_decay=optim["weight_decay"],
    )
    engine.prepare(model, optimizer, config.get("ema_rate"))
    model.train()
    carry = None
    out: dict[str, Tensor] = {}

    for k in range(1, config.get("run_steps", config["total_steps"]) + 1):
        if k > config["total_steps"]:
            if engine.average is not None:
                engine.average.update(engine.optimizer)
            continue
        batch = batch_of(case.tensors, f"{prefix}batch/{k}")
        draws = _draws_of(case, f"{prefix}draws/{k}")
        carry = model.initial_carry(batch) if carry is None else carry
        lr, table_lr = (
            learning_rate(
                k,
                optim[key],
                warmup_steps=optim["lr_warmup_steps"],
                total_steps=config["total_steps"],
                min_ratio=optim["lr_min_ratio"],
            )
            for key in ("lr", "puzzle_emb_lr")
        )

        def look(result: StepResult, k: int = k) -> None:
            (micro,) = result.micro
            for name, grad in engine.gradients().items():
                out[f"json/{k}/grad_norms/{PREFIX}{name}"] = grad.norm()
                if k == 1:
                    out[f"grad/1/{PREFIX}{name}"] = grad.clone()
            if micro.puzzle_grads is not None and k == 1:
                out[f"{prefix}grad/1/puzzle_emb_local"] = micro.puzzle_grads.clone()

        result = train_step(
            engine,
            table,
            [carry],
            [batch],
            [draws],
            StepSettings(
                lr,
                table_lr,
                optim["puzzle_emb_weight_decay"],
                config["global_batch_size"],
                config["loss_type"],
            ),
            before_update=look,
        )
        (carry,) = result.carries
        out.update(_measured(result, f"{prefix}step/{k}", f"json/{k}"))
        for name, number in reduced_metrics(
            engine, result.metrics, config["global_batch_size"], lr
        ).items():
            out[f"json/{k}/reduced_metrics/{name}"] = torch.tensor(number, dtype=torch.float64)
        out[f"json/{k}/lrs/dense"] = torch.tensor(lr, dtype=torch.float64)
        out[f"json/{k}/lrs/puzzle_emb"] = torch.tensor(table_lr, dtype=torch.float64)
        for name, value in _state(engine, model, table).items():
            out[f"json/{k}/param_norms/{name}"] = value.norm()

    averages = split_averages(engine.full_moments(), engine.full_parameters())[1]
    for name, value in averages.items():
        out[f"ema/{PREFIX}{name}"] = value
    for name, value in _state(engine, model, table).items():
        out[f"final/{name}"] = value
    return {name: value.detach().clone() for name, value in out.items()}


def _draws_of(case: Case, name: str) -> Draws | None:
    """The random numbers of a step, where the case records them."""
    if f"{name}/rand" not in case.tensors:
        return None
    rand = case.tensors[f"{name}/rand"]
    return Draws(
        rand, case.tensors.get(f"{name}/randint", torch.zeros_like(rand, dtype=torch.int32))
    )


def _measured(result: StepResult, step: str, scalars: str) -> dict[str, Tensor]:
    """Outputs, carry, loss and metrics of a step by golden name."""
    (carry,), (micro,) = result.carries, result.micro
    outputs = micro.outputs._asdict().items()
    found = {f"{step}/{name}": value for name, value in outputs if value is not None}
    found |= {f"{step}/z_{level}": z for level, z in zip("HL", carry.z, strict=False)}
    found |= {f"{step}/steps": carry.steps, f"{step}/halted": carry.halted}
    found |= {f"{step}/current/{name}": value for name, value in carry.data.items()}
    found[f"{step}/puzzle_emb_local_ids"] = carry.data["puzzle_identifiers"]
    found[f"{scalars}/loss"] = micro.loss
    return found | {f"{scalars}/metrics/{name}": value for name, value in result.metrics.items()}


def _state(engine: Engine, model: ActModel, table: PuzzleTable | None) -> dict[str, Tensor]:
    """Buffers, fp32 parameters and the puzzle table by their published names, on every rank."""
    full: dict[str, Tensor] = engine.gather_objects(engine.full_parameters())[0]
    named = {f"{PREFIX}{name}": value for name, value in [*model.named_buffers(), *full.items()]}
    return named if table is None else named | {f"{PREFIX}{TABLE}": table.owned_rows()}
