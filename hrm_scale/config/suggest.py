"""Finding the spelling that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hrm_scale.base.errors import nearest

# What other trainers call the same thing. Spelling distance cannot find these.
_OTHER_NAMES = {
    "learning_rate": "lr",
    "base_lr": "lr",
    "min_lr_ratio": "lr_min_ratio",
    "warmup": "lr_warmup_steps",
    "warmup_steps": "lr_warmup_steps",
    "wd": "weight_decay",
    "batch_size": "global_batch_size",
    "train_batch_size": "global_batch_size",
    "per_device_train_batch_size": "global_batch_size",
    "global_batch_size": "batch_size",
    "gradient_accumulation_steps": "engine.accumulation",
    "grad_accum": "engine.accumulation",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "num_train_epochs": "epochs",
    "steps": "max_steps",
    "num_steps": "max_steps",
    "total_steps": "max_steps",
    "time_limit": "max_time",
    "random_seed": "seed",
    "dataset": "data_path",
    "data": "data_path",
    "data_dir": "data_path",
    "output_dir": "checkpoint_path",
    "checkpoint_dir": "checkpoint_path",
    "resume_from_checkpoint": "resume",
    "dtype": "arch.forward_dtype",
    "precision": "arch.forward_dtype",
    "loss": "arch.loss.loss_type",
    "wandb": "log.wandb",
    "save_every": "checkpoint.every_steps",
    "eval_every": "evaluation.every_steps",
    "log_interval": "log.every",
    "num_workers": "data.threads",
    "config": "experiment",
    "preset": "experiment",
    "model": "arch",
    "checkpoint_path": "checkpoint",
    "ckpt": "checkpoint",
}


def closest_key(key: str, allowed: Sequence[str]) -> str | None:
    """The allowed dotted key that `key` most probably stands for, or None.

    Tried in this order: another letter case; another trainer's name for it; the same last part in
    another section; the smallest spelling difference, of the whole key or of its last part.
    """
    folded = {name.lower(): name for name in allowed}
    if key.lower() in folded:
        return folded[key.lower()]
    if (other := _other_name(key)) in allowed:
        return other
    last = key.rpartition(".")[2]
    same_last = [name for name in allowed if name.rpartition(".")[2].lower() == last.lower()]
    if len(same_last) == 1:
        return same_last[0]
    if (other := _other_name(last)) in allowed:
        return other
    section = key.rpartition(".")[0]
    siblings = [name for name in allowed if name.rpartition(".")[0] == section]
    found = _spelled_like(key, siblings) or _spelled_like(key, allowed)
    if found is not None:
        return found
    lasts = {name.rpartition(".")[2]: name for name in allowed}
    close = _spelled_like(last, list(lasts))
    return None if close is None else lasts[close]


def closest_value(value: object, allowed: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for a choice, also found by its beginning; or an empty string."""
    text = str(value).lower()
    options = list(allowed)
    inside = [option for option in options if len(text) > 1 and option.lower().startswith(text)]
    if not inside:
        inside = [option for option in options if len(text) > 3 and text in option.lower()]
    if len(inside) == 1:
        return f" Did you mean '{inside[0]}'?"
    return nearest(text, options)


def _other_name(key: str) -> str | None:
    return _OTHER_NAMES.get(key.lower().replace("-", "_"))


def _spelled_like(value: str, allowed: Sequence[str]) -> str | None:
    hint = nearest(value, list(allowed))
    return hint.split("'")[1] if hint else None
