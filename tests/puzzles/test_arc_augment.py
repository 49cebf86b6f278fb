"""ARC while training: the augmentation kernel, the law of an epoch, dense against online."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hrm_scale.base.counter import STILL, below, fold_array, make_key
from hrm_scale.data import Batch, Dataset, Loader, open_dataset
from hrm_scale.puzzles.arc import grid as arc_grid
from hrm_scale.puzzles.arc import kernel as arc_kernel
from hrm_scale.puzzles.arc.augment import ArcFrames, draw_offsets, draw_variants, turned_shapes
from tests.support.arc_sets import build_arc, write_tasks

AUGMENTATIONS = 12
COLUMNS = ("inputs", "labels", "puzzle_identifiers", "groups", "shapes")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arc")
    raw = write_tasks(folder / "raw")
    for storage in ("online", "dense"):
        build_arc(raw, folder / storage, "--num-aug", str(AUGMENTATIONS), "--storage", storage)
    return folder


@pytest.fixture(scope="module")
def online(folders: Path) -> Dataset:
    return open_dataset(folders / "online")


@pytest.fixture(scope="module")
def dense(folders: Path) -> Dataset:
    return open_dataset(folders / "dense")


def loader(dataset: Dataset, **changes: object) -> Loader:
    settings: dict[str, object] = {"seed": 1, "global_batch_size": 12, "threads": 0}
    return Loader(dataset, "train", **{**settings, **changes})  # type: ignore[arg-type]


def epoch(dataset: Dataset, number: int, **changes: object) -> Batch:
    reader = loader(dataset, **changes)
    return reader.fetch(reader.epoch_start(number), reader.epoch_start(number + 1))


def grids(seed: int, count: int, side: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = rng.integers(1, side + 1, (count, 2))
    return [rng.integers(0, 10, shape).astype(np.uint8) for shape in shapes]


@pytest.fixture(params=["numpy", "numba"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Augment by this one of the two, whatever is installed."""
    if request.param == "numpy":
        monkeypatch.setattr("hrm_scale.puzzles.arc.augment.kernel", lambda: None)
    else:
        pytest.importorskip("numba")
        arc_kernel.start_compiling().join()
        assert arc_kernel.kernel() is not None
    return str(request.param)


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 20))
def test_the_kernel_agrees_with_the_definition(way: str, seed: int, side: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    questions, answers = grids(seed, count, side), grids(seed + 1, count, side)
    shapes = np.array(
        [q.shape + a.shape for q, a in zip(questions, answers, strict=True)], np.uint8
    )
    frames = ArcFrames(
        np.stack([arc_grid.encode(grid) for grid in questions]),
        np.stack([arc_grid.encode(grid) for grid in answers]),
        shapes,
        np.sort(rng.integers(0, 5, count)),
    )
    rows = rng.integers(0, count, 2 * count)
    variants = np.zeros((len(rows), 11), np.uint8)
    variants[:, 0] = rng.integers(0, 8, len(rows))
    variants[:, 2:] = 1 + np.argsort(rng.random((len(rows), 9)), axis=1)
    turned = turned_shapes(shapes[rows], variants).astype(np.int64)
    room = 31 - np.maximum(turned[:, :2], turned[:, 2:])
    offsets = rng.integers(0, room)
    offsets[::3] = room[::3] - 1  # at the edges, where EOS vanishes
    out = np.empty((2, len(rows), 900), np.uint8)
    frames.augment(rows, variants, offsets, (out[0], out[1]))
    for i, row in enumerate(rows):
        for grid, tokens in ((questions[row], out[0][i]), (answers[row], out[1][i])):
            wanted = arc_grid.encode(arc_grid.augment(grid, variants[i]), *offsets[i])
            assert np.array_equal(tokens, wanted)
            assert np.array_equal(
                arc_grid.undo(arc_grid.crop(tokens, *offsets[i]), variants[i]), grid
            )


def test_an_epoch_shows_every_group_once_by_one_variant(online: Dataset) -> None:
    columns = online.read("train", (*COLUMNS, "variants"), 0, 10_000)
    table = online.augmentations()
    first = columns["puzzle_identifiers"]
    for number in range(5):
        batch = epoch(online, number)
        at = 0
        groups = []
        while at < len(batch.inputs):
            identifier = int(batch.puzzle_identifiers[at])
            row = int(np.flatnonzero(first <= identifier)[first[first <= identifier].argmax()])
            originals = np.flatnonzero(columns["groups"] == columns["groups"][row])
            assert identifier < first[row] + columns["variants"][row]
            groups.append(int(columns["groups"][row]))
            still = 0
            for original in originals:
                grid = arc_grid.crop(columns["inputs"][original])
                wanted = arc_grid.augment(grid, table[identifier])
                tokens = batch.inputs[at].reshape(30, 30)
                corner = np.argwhere(tokens >= arc_grid.FIRST_COLOUR).min(axis=0)
                assert np.array_equal(tokens.ravel(), arc_grid.encode(wanted, *corner))
                assert batch.puzzle_identifiers[at] == identifier
                still += not corner.any()
                at += 1
            assert still >= 1, "one example of every puzzle stays where it is"
        assert sorted(groups) == sorted(np.unique(columns["groups"]).tolist())


def chi_square_is_plausible(counts: np.ndarray, level: float = 1e-3) -> bool:
    """The counts fit a uniform distribution: a worse fit has a probability above `level`."""
    expected = counts.sum() / counts.size
    statistic = float(((counts - expected) ** 2 / expected).sum())
    half_freedom, half_statistic = torch.tensor([counts.size - 1, statistic]).double() / 2
    return float(torch.special.gammaincc(half_freedom, half_statistic)) > level


def test_puzzles_are_uniform_over_many_epochs(online: Dataset) -> None:
    epochs = 600
    reader = loader(online)
    identifiers = reader.fetch(0, reader.epoch_start(epochs)).puzzle_identifiers
    columns = online.read("train", COLUMNS, 0, 10_000)
    sizes = np.bincount(columns["groups"])
    for name, first, count in online.tasks()[1:]:
        group = columns["groups"][columns["puzzle_identifiers"] == first][0]
        seen = np.array([(identifiers == first + k).sum() for k in range(count)])
        assert seen.sum() == epochs * sizes[group], name
        assert chi_square_is_plausible(seen / sizes[group]), name


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 1000), st.integers(1, 29), st.integers(1, 29))
def test_translations_are_uniform_but_for_one_example(seed: int, height: int, width: int) -> None:
    epochs, size = 800, 9
    shapes = np.tile(np.array([height, 1, 1, width], np.uint8), (size, 1))
    inside, groups, sizes = np.arange(size), np.full(size, 7), np.full(size, size)
    stays = np.zeros(size, np.int64)
    counts = [np.zeros(31 - side, np.int64) for side in (height, width)]
    for number in range(epochs):
        drawn = draw_offsets(seed, number, groups, inside, sizes, shapes)
        # The document of the format says which one stays.
        still = int(below(fold_array(make_key(STILL, seed, number), groups[:1]), size)[0])
        assert not drawn[still].any()
        stays[still] += 1
        for axis in (0, 1):
            counts[axis] += np.bincount(
                np.delete(drawn[:, axis], still), minlength=len(counts[axis])
            )
    # The seeds differ from run to run, so the level is one that fair draws do not reach.
    for drawn_evenly in (stays, *counts):
        assert chi_square_is_plausible(drawn_evenly, level=1e-7)


def test_variants_are_uniform() -> None:
    counts = np.full(4000, 9)
    drawn = np.stack([draw_variants(5, e, np.arange(4000), counts) for e in range(5)])
    assert chi_square_is_plausible(np.bincount(drawn.ravel(), minlength=9))
    assert all(chi_square_is_plausible(np.bincount(d, minlength=9)) for d in drawn)


def test_dense_equals_online_read_with_the_same_draws(
    online: Dataset, dense: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = dense.split("train")
    assert len(info.stripe_records) == AUGMENTATIONS + 1
    index = dense.index("train")
    ends = index.first[np.cumsum(info.stripe_records)]
    originals = online.read("train", COLUMNS, 0, 10_000)
    firsts = dict(zip(originals["groups"], originals["puzzle_identifiers"], strict=True))
    seed = dense.meta.augmentation["seed"]
    for stripe, (start, stop) in enumerate(zip([0, *ends], ends, strict=False)):
        columns = dense.read("train", COLUMNS, int(start), int(stop))
        variant = {
            int(group): int(identifier - firsts[group])
            for group, identifier in zip(
                columns["groups"], columns["puzzle_identifiers"], strict=True
            )
        }

        def as_stored(
            _seed: int, _epoch: int, groups: np.ndarray, _counts: np.ndarray, own: dict = variant
        ) -> np.ndarray:
            return np.array([own[int(group)] for group in groups])

        monkeypatch.setattr("hrm_scale.puzzles.arc.symmetry.draw_variants", as_stored)
        read = epoch(online, stripe, seed=seed, widen="device")

        def lines(inputs: np.ndarray, labels: np.ndarray, identifiers: np.ndarray) -> list[bytes]:
            labels = np.where(labels == -100, 0, labels).astype(np.uint8)
            joined = np.concatenate(
                [identifiers.astype("<i4").view(np.uint8).reshape(-1, 4), inputs, labels], axis=1
            )
            return sorted(row.tobytes() for row in joined)

        stored = lines(columns["inputs"], columns["labels"], columns["puzzle_identifiers"])
        assert lines(*read) == stored


@pytest.mark.parametrize("sampling", ["epoch", "reference"])
def test_batches_do_not_depend_on_ranks_accumulation_or_threads(
    online: Dataset, sampling: str
) -> None:
    def stream(ranks: int, accumulation: int, threads: int, **changes: object) -> np.ndarray:
        readers = [
            loader(
                online, rank=r, ranks=ranks, accumulation=accumulation, threads=threads,
                sampling=sampling, **changes,
            ).batches(36)
            for r in range(ranks)
        ]  # fmt: skip
        steps = []
        for _ in range(8):
            parts = [next(reader) for reader in readers]
            for micro in range(accumulation):
                for part in parts:
                    columns = [part[micro].inputs, part[micro].labels]
                    steps.append(np.concatenate([c.astype(np.int32) for c in columns], axis=1))
        for reader in readers:
            reader.close()
        return np.concatenate(steps)

    alone = stream(1, 1, 0)
    assert np.array_equal(stream(2, 1, 1), alone)
    assert np.array_equal(stream(3, 2, 0), alone)
    assert np.array_equal(stream(1, 4, 2, widen="device"), alone), "narrow batches say the same"


def test_reference_sampling_refuses_what_it_cannot_draw_from(dense: Dataset) -> None:
    with pytest.raises(Exception, match=r"data\.sampling=reference .* striped"):
        loader(dense, sampling="reference")


def test_narrow_batches_become_the_same_tensors(online: Dataset) -> None:
    import torch

    from hrm_scale.transfer import to_tensors

    wide, narrow = (
        to_tensors(next(loader(online, widen=where).batches(24))[0], torch.device("cpu"))
        for where in ("host", "device")
    )
    for name, tensor in wide.items():
        assert tensor.dtype == torch.int32
        assert torch.equal(tensor, narrow[name]), name
