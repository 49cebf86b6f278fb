"""What a trained model answers, step by step. Importing this imports torch."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hrm_scale.base.errors import ConfigError
from hrm_scale.data.format.meta import IGNORE_LABEL, DatasetMeta
from hrm_scale.data.read.dataset import Dataset
from hrm_scale.evaluation.restore import Restored, restore
from hrm_scale.evaluation.rollout import Query, rollout
from hrm_scale.models.act import wants_to_halt

_BATCH = 32


class Predictor:
    """A model restored on the CPU that answers batches of rows. Thread safe."""

    def __init__(self, checkpoint: Path, dataset: Dataset) -> None:
        """Raises CheckpointError for no usable checkpoint, ConfigError for one of other data."""
        self._restored = restore(checkpoint, device=torch.device("cpu"))
        self._meta = dataset.meta
        self._lock = threading.Lock()
        _require_same_form(self._restored, dataset.meta, checkpoint)

    def about(self, dataset: Dataset) -> dict[str, Any]:
        """What the page says of the model."""
        restored = self._restored
        return {
            "step": restored.checkpoint.step,
            "name": restored.checkpoint.path.name,
            "averaged": restored.averaged,
            "arch": restored.run.arch.name,
            "steps": restored.model.config.halt_max_steps,
            "same_data": restored.meta.fingerprint == dataset.meta.fingerprint,
        }

    def answer(
        self, inputs: np.ndarray, labels: np.ndarray, identifiers: np.ndarray
    ) -> list[dict[str, Any]]:
        """For each row: `halt`, the first step at which the model would halt (0: none), and
        `steps`: tokens [seq_len], `sure` = sigmoid of the halt head, `wrong` and `of` (tokens that
        differ from the label, of those that count), `exact`."""
        answers: list[dict[str, Any]] = []
        with self._lock:
            for start in range(0, len(inputs), _BATCH):
                part = slice(start, start + _BATCH)
                answers += self._answer(inputs[part], labels[part], identifiers[part])
        return answers

    def _answer(
        self, inputs: np.ndarray, labels: np.ndarray, identifiers: np.ndarray
    ) -> list[dict[str, Any]]:
        restored = self._restored
        counted = labels != self._meta.ignore_label_id
        columns = {
            "inputs": inputs,
            "labels": np.where(counted, labels.astype(np.int32), IGNORE_LABEL),
            "puzzle_identifiers": identifiers,
        }
        data = {name: torch.from_numpy(c.astype(np.int32)) for name, c in columns.items()}
        vectors = restored.table.lookup(data["puzzle_identifiers"]) if restored.table else None
        query = Query(data, vectors, np.arange(len(inputs)))
        config = restored.model.config
        answers: list[dict[str, Any]] = [{"halt": 0, "steps": []} for _ in inputs]
        steps = rollout(restored.reasoner, query, range(1, config.halt_max_steps + 1))
        for number, said in enumerate(steps, start=1):
            tokens = said.logits.argmax(-1).numpy().astype(np.uint8)
            sure = said.q_halt.sigmoid().tolist()
            would = wants_to_halt(config, said.q_halt, said.q_continue).tolist()
            wrong = ((tokens != labels) & counted).sum(axis=1).tolist()
            for row, answer in enumerate(answers):
                if would[row] and not answer["halt"]:
                    answer["halt"] = number
                answer["steps"].append(
                    {
                        "tokens": tokens[row],
                        "sure": round(sure[row], 4),
                        "wrong": wrong[row],
                        "of": int(counted[row].sum()),
                        "exact": wrong[row] == 0,
                    }
                )
        return answers


def _require_same_form(restored: Restored, data: DatasetMeta, checkpoint: Path) -> None:
    """ConfigError unless the model can read rows of this data set."""
    for name in ("kind", "vocab_size", "seq_len"):
        ours, theirs = getattr(restored.meta, name), getattr(data, name)
        if ours != theirs:
            raise ConfigError(
                f"--checkpoint {checkpoint}: was trained on data with {name}={ours}, this data set "
                f"has {theirs}: give a checkpoint of a run on such data"
            )
    ours, theirs = restored.meta.num_puzzle_identifiers, data.num_puzzle_identifiers
    if restored.table is not None and theirs > ours:
        raise ConfigError(
            f"--checkpoint {checkpoint}: knows {ours} puzzle identifiers, this data set has "
            f"{theirs}: give a checkpoint of a run on this data set"
        )
