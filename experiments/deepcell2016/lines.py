"""JI (Van Valen 2016, P1) on the held-out strips of each cell line, for a network of several (data=mammalian).

python experiments/deepcell2016/lines.py RUN [--interior 0.4 0.5 0.6] [--iterations 120]

Like `cellflax.validate erode_reference=true`, but by line, with the watershed of refine=cytoplasm at several thresholds
and active contours with several numbers of iterations. The network runs once, with 8 rotations and reflections.
"""

import argparse
from dataclasses import replace

import numpy as np

from cellflax.data.datasets import load_dataset
from cellflax.prediction.nuclei import nuclei_finder
from cellflax.prediction.trained import load_model
from cellflax.refine.active_contour import ActiveContourConfig
from cellflax.refine.watershed import WatershedConfig
from cellflax.training.held_out import Validator


def main() -> None:
    """Print mean JI by refinement and line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--interior", type=float, nargs="*", default=[0.4, 0.5, 0.6])
    parser.add_argument("--iterations", type=int, nargs="*", default=[120])
    options = parser.parse_args()
    model = load_model(options.run)
    dataset = load_dataset(model.config.data)
    of_line = np.array([region.example.name.split("_")[0] for region in dataset.validation])
    validator = replace(
        Validator.of(model.config, dataset, model.geometry, nuclei_finder(model.config)), erode_reference=True
    )
    predicted = validator.predict(model.probabilities, 8)
    refinements = {
        f"watershed {interior:g}": WatershedConfig(interior=interior, smoothing_px=2, outline_px=2.5)
        for interior in options.interior
    } | {f"active contours {n}": ActiveContourConfig(iterations=n, smoothing=1) for n in options.iterations}
    for name, refine in refinements.items():
        scores = []
        for line in dict.fromkeys(of_line):
            chosen = np.flatnonzero(of_line == line)
            part = replace(validator, held_out=tuple(validator.held_out[i] for i in chosen), refine=refine)
            metrics, _ = part.score([predicted[i] for i in chosen])
            scores.append(f"{line} {metrics['jaccard']:.3f}")
        print(f"{name}:", ", ".join(scores), flush=True)


if __name__ == "__main__":
    main()
