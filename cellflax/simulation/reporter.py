"""A kinase translocation reporter: how it moves between nucleus and cytoplasm when the kinase is switched on."""

from dataclasses import dataclass

import numpy as np

_NUCLEAR_VOLUME = 0.3  # share of the volume that the reporter can reach
_STEP_S = 5.0


@dataclass(frozen=True)
class Kinetics:
    """Rates of the cells' reporters.

    Export rises from the basal to the stimulated rate when the stimulus reaches the cell, and falls back
    exponentially as the cell adapts.

    Attributes:
        import_per_min: (n,) rate at which cytoplasmic reporter enters the nucleus.
        export_per_min: (n,) basal rate at which nuclear reporter leaves.
        stimulated_per_min: (n,) rate at which it leaves right after the stimulus.
        onset_s: (n,) time at which the stimulus reaches the cell.
        adaptation_s: time constant of the return to the basal rate.
    """

    import_per_min: np.ndarray
    export_per_min: np.ndarray
    stimulated_per_min: np.ndarray
    onset_s: np.ndarray
    adaptation_s: float

    def export_at(self, time_s: float) -> np.ndarray:
        """Export rate of every cell at one time, (n,) per minute."""
        since_s = time_s - self.onset_s
        activity = np.where(since_s >= 0.0, np.exp(-np.maximum(since_s, 0.0) / self.adaptation_s), 0.0)
        return self.export_per_min + (self.stimulated_per_min - self.export_per_min) * activity


def nuclear_share(kinetics: Kinetics, times_s: np.ndarray) -> np.ndarray:
    """Share of every cell's reporter in the nucleus: dx/dt = import (1 - x) - export x.

    The solution starts from the steady state at time 0 and advances in steps of a few seconds. Rates are constant
    within a step, where the solution is exact.

    Args:
        kinetics: rates of n cells.
        times_s: (T,) ascending, starting at 0 or later.

    Returns:
        (T, n) in (0, 1).
    """
    share = kinetics.import_per_min / (kinetics.import_per_min + kinetics.export_per_min)
    shares, now_s = [], 0.0
    for time_s in times_s:
        n_steps = int(np.ceil((time_s - now_s) / _STEP_S))
        for step in range(n_steps):
            width_s = (time_s - now_s) / n_steps
            export = kinetics.export_at(now_s + (step + 0.5) * width_s)
            total = kinetics.import_per_min + export
            steady = kinetics.import_per_min / total
            share = steady + (share - steady) * np.exp(-total * width_s / 60.0)
        now_s = time_s
        shares.append(share)
    return np.stack(shares)


def concentrations(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Concentration of the reporter in nucleus and cytoplasm, from the share in the nucleus.

    Both are relative to an evenly spread reporter; their quotient is the nucleus-to-cytoplasm ratio.
    """
    return share / _NUCLEAR_VOLUME, (1.0 - share) / (1.0 - _NUCLEAR_VOLUME)
