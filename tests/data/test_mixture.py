"""Several data sets read as one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import columns, puzzles, sudoku_meta
from hrm_scale.base.errors import ConfigError
from hrm_scale.data import DatasetWriter, Loader, open_dataset
from hrm_scale.data.read.buffers import BufferPool
from hrm_scale.data.read.mixture import Mixture, deal
from hrm_scale.data.read.stream import ReadOptions

SIZES = {"few": 6, "many": 21}


def write_source(folder: Path, count: int, mark: int, names: list[str]) -> Path:
    """A set whose every label row begins with `mark` and whose identifiers are named."""
    meta = sudoku_meta(4, "dense", num_puzzle_identifiers=len(names), augmentation={"kind": "none"})
    inputs, labels = puzzles(4, count)
    labels[:, 0] = mark
    written = columns(inputs, labels, np.arange(count))
    written["puzzle_identifiers"] = np.arange(count, dtype=np.int32) % len(names)
    with DatasetWriter(folder, meta) as writer:
        for split in ("train", "test"):
            writer.write_split(split, [written])
        writer.write_identifiers(names)
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    folder = tmp_path_factory.mktemp("mixture")
    for mark, (name, count) in enumerate(SIZES.items(), 2):
        write_source(folder / name, count, mark, ["<blank>", f"{name} 1", f"{name} 2"])
    text = "sources:\n  - {path: few, weight: 2}\n  - {path: many, weight: 6}\n"
    (folder / "mix.yaml").write_text(text)
    dataset = open_dataset(folder / "mix.yaml")
    assert isinstance(dataset, Mixture)
    return dataset


def loader(mixed: Mixture, **changes: object) -> Loader:
    settings: dict[str, object] = {"seed": 4, "global_batch_size": 12, "threads": 0}
    return Loader(mixed, "train", **{**settings, **changes})  # type: ignore[arg-type]


def test_shares_are_the_weights_and_every_source_keeps_its_own_order(mixed: Mixture) -> None:
    batch = loader(mixed).fetch(0, 24 * 8)
    marks = batch.labels[:, 0]
    assert (marks.reshape(-1, 4) == 2).sum(axis=1).tolist() == [1] * 48
    for number, (source, weight) in enumerate(mixed.sources):
        own = Loader(source, "train", seed=4 + (number << 40), global_batch_size=12, threads=0)
        alone = own.fetch(0, 24 * weight)
        assert np.array_equal(batch.inputs[marks == number + 2], alone.inputs)


def test_identifiers_are_laid_end_to_end(mixed: Mixture) -> None:
    assert mixed.identifiers() == ["<blank>", "few 1", "few 2", "many 1", "many 2"]
    assert mixed.meta.num_puzzle_identifiers == 5
    batch = loader(mixed).fetch(0, 400)
    few = batch.labels[:, 0] == 2
    assert set(batch.puzzle_identifiers[few]) == {0, 1, 2}
    assert set(batch.puzzle_identifiers[~few]) == {0, 3, 4}


def test_sources_with_the_same_names_share_their_identifiers(tmp_path: Path) -> None:
    for mark, name in enumerate(("a", "b"), 2):
        write_source(tmp_path / name, 4, mark, ["<blank>", "x"])
    content = {"sources": [{"path": "a"}, {"path": "b"}]}
    (tmp_path / "mix.json").write_text(json.dumps(content))
    assert open_dataset(tmp_path / "mix.json").meta.num_puzzle_identifiers == 2


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 300), st.integers(1, 80), st.sampled_from([(1, 1), (2, 2), (3, 1), (4, 3)]))
def test_any_cut_of_the_stream_is_the_same(
    mixed: Mixture, start: int, length: int, shape: tuple[int, int]
) -> None:
    whole = loader(mixed).fetch(0, 400)
    part = loader(mixed).fetch(start, start + length)
    assert np.array_equal(part.inputs, whole.inputs[start : start + length])
    ranks, accumulation = shape
    parts = []
    for rank in range(ranks):
        own = loader(mixed, rank=rank, ranks=ranks, accumulation=accumulation)
        parts.append(next(own.batches(start)))
    joined = [parts[r][k].labels for k in range(accumulation) for r in range(ranks)]
    assert np.array_equal(np.concatenate(joined), loader(mixed).fetch(start, start + 12).labels)


def test_state_goes_on_and_another_mixture_is_refused(mixed: Mixture) -> None:
    reader = loader(mixed)
    state = json.loads(json.dumps(reader.state(36)))
    assert len(json.dumps(state)) < 200
    assert loader(mixed).resume(state) == 36
    other = mixed.path.with_name("other.yaml")
    other.write_text(mixed.path.read_text().replace("weight: 6", "weight: 5"))
    with pytest.raises(Exception, match="was trained on data set"):
        loader(open_dataset(other)).resume(state)  # type: ignore[arg-type]


def test_evaluation_sees_every_source_once(mixed: Mixture) -> None:
    parts = list(mixed.eval_batches("test", 8))
    index = np.concatenate([part.index for part in parts])
    assert sorted(index[index >= 0].tolist()) == list(range(sum(SIZES.values())))
    marks = np.concatenate([part.batch.labels[:, 0] for part in parts])[index >= 0]
    assert (marks == 2).sum() == SIZES["few"]
    two = [list(mixed.eval_batches("test", 8, rank=rank, ranks=2, limit=9)) for rank in (0, 1)]
    assert len(two[0]) == len(two[1])


def test_an_epoch_begins_at_the_first_sources_example(mixed: Mixture) -> None:
    reader = loader(mixed)
    marks = reader.fetch(0, 200).labels[:, 0]
    own = np.flatnonzero(marks == 2)[:: SIZES["few"]]
    assert [reader.epoch_start(epoch) for epoch in range(5)] == own[:5].tolist()
    assert [reader.epoch_of(int(at)) for at in own[:5]] == [(epoch, 0) for epoch in range(5)]


def test_a_damaged_record_hides_its_own_rows_only(mixed: Mixture, tmp_path: Path) -> None:
    shutil.copytree(mixed.path.parent, tmp_path / "mix")
    few = tmp_path / "mix" / "few"
    (shard,) = (few / "train").glob("shard-*")
    content = bytearray(shard.read_bytes())
    content[open_dataset(few).index("train").offset["inputs"][0] + 130] ^= 1
    shard.write_bytes(content)
    options = ReadOptions(seed=4, threads=0, on_error="mask", mask_budget=1.0)
    stream = open_dataset(tmp_path / "mix" / "mix.yaml").stream("train", options)
    rows, whole = stream.rows([(0, 96)], BufferPool()), loader(mixed).fetch(0, 96)
    hidden = whole.labels[:, 0] == 2
    assert rows.damaged is not None
    assert np.array_equal(rows.damaged, hidden)
    assert np.array_equal(rows.labels[~hidden], whole.labels[~hidden])


def test_one_pass_over_all_sources_is_an_epoch(mixed: Mixture) -> None:
    assert mixed.epoch_examples("train") == sum(SIZES.values())


@settings(max_examples=50)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_turns_are_as_even_as_whole_numbers_allow(weights: list[int]) -> None:
    turns = deal(weights)
    for source, weight in enumerate(weights):
        share = weight / sum(weights)
        before = np.cumsum(turns == source)
        due = share * np.arange(1, len(turns) + 1)
        assert before[-1] * sum(weights) == weight * len(turns)
        assert np.abs(before - due).max() <= 1 + len(weights) / 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources: []", "not a mixture of 1 to"),
        ("[1, 2]", "not a mixture of 1 to"),
        ("sources: [{path: few, weigth: 2}]", "source 0 is not {path, weight}"),
        ("sources: [{weight: 2}]", "source 0 has no path"),
        ("sources: [{path: few, weight: 0.5}]", "weight 0.5 of source 0 is not a whole number"),
        ("sources: [{path: few", "cannot be read as a mixture"),
        ("sources: [{path: few}, {path: six}]", "only data sets of one form can be mixed"),
    ],
)
def test_a_wrong_file_is_one_line(mixed: Mixture, text: str, message: str) -> None:
    folder = mixed.path.parent
    if not (folder / "six").exists():
        meta = sudoku_meta(6, "dense", augmentation={"kind": "none"})
        with DatasetWriter(folder / "six", meta) as writer:
            writer.write_split("train", [columns(*puzzles(6, 3), np.arange(3))])
    (folder / "wrong.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message.replace("{", r"\{").replace("}", r"\}")) as info:
        open_dataset(folder / "wrong.yaml")
    assert "\n" not in str(info.value)
