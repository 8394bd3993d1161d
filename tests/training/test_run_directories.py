"""Each training has a run directory of its own."""

from concurrent.futures import ThreadPoolExecutor

from cellflax.training.run_directory import claim_run_directory


def test_two_runs_of_one_second_take_two_directories(tmp_path):
    run = tmp_path / "quick" / "2026-01-02_03-04-05"
    run.mkdir(parents=True)  # as Hydra does, for both
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(claim_run_directory, [run] * 8))
    assert sorted(path.name.removeprefix(run.name) for path in taken) == ["", *(f"_{n}" for n in range(2, 9))]
    assert all(path.is_dir() for path in taken)
