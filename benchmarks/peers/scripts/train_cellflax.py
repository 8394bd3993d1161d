"""cellflax itself: README's command for own images within the minutes; it runs with cellflax."""

import json
import subprocess
import sys

import jax
import numpy as np
from peer_job import Job, elapsed_s

import cellflax

# README, "Train on your own images".
_COMMAND = ("data=folder", "logger.wandb=disabled")


def main() -> None:
    job = Job.read()
    run = job.output / "run"
    words = (
        f"data.root={job.data / 'train'}",
        f"data.split_seed={job.seed}",
        f"seed={job.seed}",
        f"trainer.max_minutes={job.minutes:g}",
        f"run={run}",
        *job.words,
    )
    status = subprocess.run([sys.executable, "-m", "cellflax.train", *_COMMAND, *words]).returncode
    if status:
        sys.exit(status)  # its last line says why
    trained_s = elapsed_s()
    tally = json.loads((run / "summary.json").read_text(encoding="utf-8"))["training"]
    model = cellflax.load(run)

    def segment(image: np.ndarray) -> np.ndarray:
        return model(image).labels

    job.finish(
        ("cellflax", "jax"),
        "CPU" if jax.default_backend() == "cpu" else "GPU",
        {
            "fit_minutes": tally["elapsed_s"] / 60,
            "training_minutes": trained_s / 60,
            "steps": tally["validated_step"],
            "epochs": None,
            "seconds_per_image": job.segment(segment),
            "settings": {"command": " ".join((*_COMMAND, *job.words)), "ended": tally["reason"]},
        },
    )


if __name__ == "__main__":
    main()
