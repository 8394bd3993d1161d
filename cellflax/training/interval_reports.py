"""Lines of the training log: means over intervals of steps."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from cellflax.errors import UserError
from cellflax.progress import Progress
from cellflax.training.config import TrainConfig
from cellflax.training.optimizers import learning_rate
from cellflax.training.pace import Pace
from cellflax.training.runlog import RunLog
from cellflax.training.state import StepSums
from cellflax.training.stopping import Clock


class IntervalReports:
    """Means over intervals of steps, logged one interval late so that the loop never waits for the device."""

    def __init__(
        self,
        config: TrainConfig,
        pace: Pace,
        clock: Clock,
        class_names: tuple[str, ...],
        log: RunLog,
        bar: Progress,
    ):
        self.rate = learning_rate(config.optimizer, pace.span)
        self.budget, self.pace, self.clock = config.trainer.max_minutes, pace, clock
        self.class_names, self.log, self.bar = class_names, log, bar
        self.pending: tuple[int, StepSums, float] | None = None

    def push(self, step: int, sums: StepSums, position: float) -> None:
        """Keep the sums of the interval that ended at `step`; log those of the one before.

        Args:
            step: steps done.
            sums: sums over the interval.
            position: position of its last step on the schedule.
        """
        self.flush()
        self.pending = step, sums, position

    def flush(self) -> None:
        """Log what is pending.

        Raises:
            UserError: if the cost was not finite.
        """
        if self.pending is None:
            return
        (step, _, position), sums = self.pending, jax.device_get(self.pending[1])
        self.pending = None
        steps = int(sums.steps)
        if steps == 0:
            return
        loss = float(sums.loss) / steps
        if not math.isfinite(loss + float(sums.penalty)):
            raise diverged(f"between steps {step - steps} and {step}")
        metrics = {
            "train_loss": loss,
            "train_penalty": float(sums.penalty) / steps,
            "learning_rate": float(np.asarray(self.rate(jnp.asarray(position, jnp.float32)))),
        }
        accuracy = sums.correct / np.maximum(sums.total, np.finfo(np.float32).tiny)
        metrics |= {f"train_accuracy_{n}": float(a) for n, a in zip(self.class_names, accuracy, strict=True)}
        self.log.log(step, metrics)
        if self.budget is None:
            self.bar.update(step, f"loss {loss:.3f}")
            return
        total = step + self.pace.remaining(step)
        time = f"{self.clock.seconds() / 60:.1f} of {self.budget:g} min"
        self.bar.update(step, f"{time}, loss {loss:.3f}", round(total) if math.isfinite(total) else None)


def diverged(when: str) -> UserError:
    """The error of a training whose cost is not finite."""
    return UserError(
        f"the cost stopped being a number {when}; lower optimizer.learning_rate, or set optimizer.clip_norm=1"
    )
