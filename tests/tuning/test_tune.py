"""Settings chosen on held-out regions that are drawn, so that the best ones are known."""

from dataclasses import fields, replace

import numpy as np
import pytest
from scipy import ndimage

from cellflax.errors import UserError
from cellflax.refine import needs_seeds, refine
from cellflax.refine.search_space import KnownCells
from cellflax.refine.threshold import ThresholdConfig
from cellflax.refine.watershed import WatershedConfig
from cellflax.schemas import field_types, from_json, group_types, to_json
from cellflax.training.tuner import TuneIndex, TunerConfig
from cellflax.tuning import tune as module
from cellflax.tuning.pieces import known_cells, sample, whole_regions, without_fragments
from cellflax.tuning.tune import tune
from tests.tuning.drawn import CLASSES, RADIUS, SIZE, cells_of, probability_of, region_of, validator_of

FIELDS = [cells_of(seed) for seed in range(4)]


def maps(inside: float, between: float) -> list[np.ndarray]:
    return [probability_of(cells, inside, between, seed) for seed, cells in enumerate(FIELDS)]


@pytest.mark.parametrize("index", TuneIndex)
def test_a_bad_start_is_left_for_the_optimum(index):
    """Cells have 0.35 inside and 0.15 outside: the start, 0.6, finds none. What lies between is right."""
    found = tune(validator_of(FIELDS, ThresholdConfig()), maps(0.35, 0.15), TunerConfig(index=index))
    assert found.before == 0
    assert found.after > 0.9
    assert isinstance(found.refine, ThresholdConfig)
    # F1 at one IoU is as large for 0.3, which is nearer to 0.6.
    assert found.refine.interior == (0.3 if index in (TuneIndex.f1_50, TuneIndex.f1_70) else 0.25)
    assert found.start == ThresholdConfig()
    assert found.changes["interior"] == found.refine.interior


def test_seeds_smoothing_and_depth_are_found():
    """Noise splits every cell at a start that hardly smooths and takes any dip for a border."""
    noisy = []
    for seed, cells in enumerate(FIELDS):
        rough = np.random.default_rng(seed).uniform(0.55, 1, cells.shape)
        interior = np.where(cells > 0, rough, 0.02)
        noisy.append(np.stack([0 * interior, interior, 1 - interior], -1).astype(np.float32))
    start = WatershedConfig(seed_smoothing_px=0.0, seed_depth=0.02)
    found = tune(validator_of(FIELDS, start), noisy, TunerConfig())
    assert found.before < 0.3
    assert found.after > 0.95
    assert {"seed_smoothing_px", "seed_depth"} & set(found.changes)
    # Nothing that does not matter was changed: holes are filled, and no cell is too small.
    assert {"keep_unseeded", "fill_holes", "seed_overlap"}.isdisjoint(found.changes)


def test_specks_without_a_nucleus_do_not_count():
    """Specks between the cells, which no cell that grows from a nucleus is, would be most of the reference."""
    regions, probabilities = [], []
    for seed, cells in enumerate(FIELDS):
        rng = np.random.default_rng(seed)
        specks = (rng.random(cells.shape) < 0.03) & (cells == 0)
        nuclei = np.where(ndimage.binary_erosion(cells > 0, iterations=6), cells, 0)
        annotated = np.where(specks, 100 + np.arange(cells.size).reshape(cells.shape), cells).astype(np.int32)
        regions.append(region_of(annotated, nuclei))
        probabilities.append(probability_of(cells, 0.9, 0.1, seed))
    kept, count = without_fragments(regions)
    assert count == sum(len(np.unique(region.cells)) - 17 for region in regions)
    assert known_cells(kept) == known_cells(
        [region_of(cells, region.seeds) for cells, region in zip(FIELDS, regions, strict=True)]
    )
    validator = replace(validator_of(FIELDS, WatershedConfig(interior=0.5)), held_out=tuple(regions))
    found = tune(validator, probabilities, TunerConfig())
    assert found.fragments == count
    assert found.before > 0.9
    plain, none = without_fragments([region_of(cells) for cells in FIELDS])
    assert none == 0
    assert all(region.ignored is None for region in plain)


def test_no_gain_keeps_the_start():
    good = ThresholdConfig(interior=0.5, min_area_px=10)
    found = tune(validator_of(FIELDS, good), [probability_of(c, 1.0, 0.0) for c in FIELDS], TunerConfig())
    assert found.refine == good
    assert found.after == found.before > 0.9
    assert found.trials["chosen"].tolist() == [True] + [False] * (found.evaluations - 1)


def lucky(region: int) -> list[np.ndarray]:
    """Perfect but for one region, whose cells are dim: a lower threshold is better there alone."""
    return [probability_of(cells, 0.42 if i == region else 0.95, 0.0) for i, cells in enumerate(FIELDS)]


def test_a_gain_in_one_region_alone_may_be_chance():
    start = validator_of(FIELDS, ThresholdConfig(interior=0.5, min_area_px=10))
    kept = tune(start, lucky(1), TunerConfig(margin=2))
    assert kept.best > kept.before + 0.05
    assert kept.best_error > (kept.best - kept.before) / 2
    assert kept.refine == kept.start
    assert kept.after == kept.before
    taken = tune(start, lucky(1), TunerConfig(margin=0))
    assert taken.after == taken.best >= kept.best


def test_a_gain_everywhere_is_preferred_to_a_larger_one_in_one_region():
    """All cells grow from 0.9 to 0.5. Below, one region gains its dim cells, and all others a rim that is none."""
    found = []
    for i, cells in enumerate(FIELDS):
        rim = (np.roll(cells, 2, axis=1) > 0) & (cells == 0)
        probability = probability_of(cells, 0.43 if i == 3 else 0.95, 0.0, i)
        probability[rim & (i != 3), 1:] = (0.45, 0.55)
        found.append(probability)
    start = validator_of(FIELDS, ThresholdConfig(interior=0.9, min_area_px=10))
    by_margin = {margin: tune(start, found, TunerConfig(margin=margin)) for margin in (0, 1)}
    assert by_margin[0].refine.interior < 0.43
    assert 0.45 <= by_margin[1].refine.interior < 0.7
    assert by_margin[0].after > by_margin[1].after > by_margin[1].before + 0.2


def test_the_same_result_whatever_the_threads(monkeypatch):
    start = validator_of(FIELDS, WatershedConfig(interior=0.8))
    results = []
    for workers in (1, 3):
        monkeypatch.setattr(module, "_workers", lambda workers=workers: workers)
        results.append(tune(start, maps(0.6, 0.1), TunerConfig(evaluations=30)))
    assert results[0].refine == results[1].refine
    assert results[0].trials.equals(results[1].trials)
    assert len(results[0].trials) == 30


def test_the_table_lists_what_was_tried():
    found = tune(validator_of(FIELDS, ThresholdConfig()), maps(0.35, 0.15), TunerConfig(evaluations=12))
    table = found.trials
    assert table["trial"].tolist() == list(range(12))
    assert table["refine.interior"][0] == 0.6
    (chosen,) = table.index[table["chosen"]]
    assert table["refine.interior"][chosen] == found.refine.interior
    assert table["accepted"][chosen]
    assert table["index"][chosen] == found.after
    sure = table["index"] - table["index"][0] - table["gain_error"]
    assert sure[chosen] == sure.max() > 0
    assert table["gain_error"][0] == 0


def test_a_sample_is_confirmed_on_all(monkeypatch):
    """Of four regions one is searched; the figures are those of all four."""
    looked_at = []
    cells = type(validator_of(FIELDS, ThresholdConfig())).cells
    validator = validator_of(FIELDS, ThresholdConfig())
    monkeypatch.setattr(
        type(validator), "cells", lambda self, region, p, how: looked_at.append(id(p)) or cells(self, region, p, how)
    )
    found = tune(validator, maps(0.35, 0.15), TunerConfig(sample_megapixels=SIZE * SIZE / 1e6, evaluations=20))
    assert found.refine.interior == 0.25
    assert sorted(looked_at.count(i) for i in set(looked_at))[:3] == [4, 4, 4]  # the start and three others
    whole = tune(validator, maps(0.35, 0.15), TunerConfig(evaluations=20))
    assert found.after == pytest.approx(whole.after, abs=0.02)
    assert found.trials["index_all"].notna().sum() == 4


def test_a_sample_depends_on_the_seed_alone():
    pieces = whole_regions([region_of(cells) for cells in FIELDS], maps(0.5, 0.1))
    chosen = [
        [next(i for i, piece in enumerate(pieces) if piece.region.cells is p.region.cells or
              np.array_equal(piece.region.cells, p.region.cells)) for p in sample(pieces, 2.5 * SIZE**2, seed)]
        for seed in (0, 0, 1, 2, 3)
    ]  # fmt: skip
    assert chosen[0] == chosen[1]
    assert all(len(each) == 2 for each in chosen)
    assert len({tuple(each) for each in chosen}) > 1


def test_a_large_region_is_cut():
    cells = np.tile(FIELDS[0], (14, 2))
    (piece,) = whole_regions([region_of(cells)], [probability_of(cells, 0.9, 0.1)])
    assert piece.parts == (7, 2)
    (tile,) = sample([piece], 0.7e6 / 4, 0)
    assert tile.region.cells.shape == tile.probability.shape[:2] == (672, 192)
    assert tile.region.raw.shape[:2] == (672, 192)


def test_sizes_of_the_cells():
    known = known_cells([region_of(cells) for cells in FIELDS])
    assert known is not None
    assert known.width_px == pytest.approx(2 * RADIUS, abs=1)
    assert known.area_px == pytest.approx(np.pi * RADIUS**2, rel=0.03)
    assert not known.seeded
    assert known_cells([region_of(0 * FIELDS[0])]) is None
    assert known_cells([region_of(FIELDS[0], FIELDS[0])]).seeded


def test_the_time_of_the_training_limits_the_search():
    limits = module._limits
    assert limits(TunerConfig(), 9_000_000, None) == (80, 4e6)
    assert limits(TunerConfig(), 1_000_000, 60) == (80, 1e6)
    for minutes in (1, 3, 15, 60):
        evaluations, pixels = limits(TunerConfig(), 9_000_000, minutes)
        assert 40 <= evaluations <= 80
        assert evaluations * pixels / 1e6 * module._SECONDS_PER_MEGAPIXEL <= 6 * minutes


@pytest.mark.parametrize("kind", group_types("refine"))
@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("width", [6.0, 25.0, 90.0])
def test_every_candidate_is_a_setting_of_its_type(kind, seeded, width):
    """So that a checkpoint keeps it, and reads it back."""
    schema = group_types("refine")[kind]
    start = schema()
    space = start.search_space(KnownCells(width, 0.7 * width**2, seeded))
    assert space
    assert set(space) <= {field.name for field in fields(schema)}
    for name, values in space.items():
        assert len(set(values)) == len(values), name
        if not isinstance(values[0], bool) and isinstance(values[0], int | float):
            assert values == sorted(values), name
        for value in values:
            hint = field_types(schema)[name]
            assert type(value) is hint or (hint is float and type(value) is int), name
            changed = replace(start, **{name: value})
            assert from_json(schema, to_json(changed)) == changed


def test_settings_of_own_seeds_are_not_searched_where_nuclei_are_given():
    config = WatershedConfig()
    assert {"seed_depth", "seed_smoothing_px"} <= set(config.search_space(KnownCells(25, 500)))
    given = config.search_space(KnownCells(25, 500, seeded=True))
    assert {"seed_depth", "seed_smoothing_px"}.isdisjoint(given)
    assert "keep_unseeded" in given


def test_settings_that_exclude_each_other_are_passed_by():
    start = ThresholdConfig(max_area_px=40, min_area_px=0)
    found = tune(validator_of(FIELDS, start), maps(0.9, 0.1), TunerConfig())
    assert found.trials["index"].isna().any()
    assert found.refine.min_area_px <= 40


@pytest.mark.parametrize("setting", [{"evaluations": 0}, {"sample_megapixels": 0}, {"share": 1.5}, {"margin": -1}])
def test_impossible_settings_are_refused(setting):
    with pytest.raises(UserError, match=f"tuner.{next(iter(setting))} must be"):
        TunerConfig(**setting)


def test_the_drawn_cells_need_no_nuclei():
    assert not needs_seeds(WatershedConfig(), CLASSES)
    assert refine(WatershedConfig(), probability_of(FIELDS[0], 0.9, 0.1), CLASSES).max() == 16
