"""The training loop: steps, reports, validation and checkpoints in a fixed order."""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from cellflax.errors import UserError
from cellflax.losses import output_activation
from cellflax.models.ensemble import member_probabilities
from cellflax.progress import Progress
from cellflax.training.checkpoint import Checkpoints
from cellflax.training.config import Monitor, TrainConfig
from cellflax.training.held_out import Validator
from cellflax.training.optimizers import learning_rate
from cellflax.training.runlog import RunLog
from cellflax.training.state import StepSums, TrainState, TrainStep
from cellflax.training.stopping import Clock, SignalWatch, Tally

# Steps dispatched ahead of the device: enough to keep it busy, and so few that a signal or the clock waits briefly.
_MAX_QUEUED = 4


class Loop:
    """Runs one training.

    Args:
        config: configuration of the run.
        step: compiled update; its state is donated.
        feed: function from a step's number to what the compiled update takes its batch from.
        validator: scores a network on the held-out regions.
        graph: structure of one member of the ensemble.
        checkpoints: where states are saved.
        log: where metrics go.
        record: what every checkpoint records besides its arrays.
    """

    def __init__(
        self,
        config: TrainConfig,
        step: TrainStep,
        feed: Callable[[int], Any],
        validator: Validator,
        graph: nnx.GraphDef,
        checkpoints: Checkpoints,
        log: RunLog,
        record: dict[str, Any],
    ):
        self.config, self.step, self.feed, self.validator = config, step, feed, validator
        self.checkpoints, self.log, self.record = checkpoints, log, record
        activation = output_activation(config.loss, validator.outputs)

        @jax.jit
        def probability(params, stats, tiles):
            def predict(tile):
                return jnp.mean(member_probabilities(graph, activation, params, stats, tile[None]), axis=0)[0]

            return jax.lax.map(predict, tiles)

        self.probability = probability

    def run(self, state: TrainState, tally: Tally, signals: SignalWatch) -> Tally:
        """Train from a state to the last step or a reason to stop; the last state is always saved."""
        trainer = self.config.trainer
        clock = Clock(tally.elapsed_s)
        first = saved = int(state.step)
        intervals = _intervals(first, trainer.steps, trainer.log_every, trainer.validate_every)
        if tally.validated_step != first and self._due(first):
            intervals = itertools.chain([(first, first)], intervals)  # a signal came before this validation
        else:
            tally.reason = self._reason(first, tally, self._out_of_time(tally.elapsed_s))
        with Progress(trainer.steps, first, self.config.logger.line_seconds) as bar:
            reports = _Reports(self.config, self.validator.class_names, self.log, bar)
            for start, end in intervals:
                if tally.reason is not None:
                    break
                # 1. Update.
                # On the state's devices: for sums from elsewhere, another program would be compiled.
                sums = jax.device_put(StepSums.zero(len(self.validator.class_names)), state.step.sharding)
                step, queued = start, deque([sums])
                while step < end and signals.received is None:
                    state, sums = self.step(state, self.feed(step), sums)
                    step += 1
                    queued.append(sums)
                    if len(queued) > _MAX_QUEUED:
                        jax.block_until_ready(queued.popleft())
                # 2. Report the interval before this one, whose sums are ready by now.
                reports.push(step, sums)
                out_of_time = self._out_of_time(clock.seconds())
                if not self._due(step) and not out_of_time and signals.received is None:
                    continue
                # 3. Before anything is saved, make sure that the cost is a number.
                reports.flush()
                # 4. Validate, unless somebody is waiting for us to stop.
                score = None
                if signals.received is None:
                    score = self._validate(step, state, bar)
                    tally.validated(step, score)
                    tally.reason = self._reason(step, tally, out_of_time)
                # 5. Save, so that running again resumes from here; never overwrite a validated checkpoint.
                tally.elapsed_s = clock.seconds()
                if score is not None or step > saved:
                    self.checkpoints.save(state, {**self.record, "training": tally.to_json()}, score)
                    saved = step
                if signals.received is not None:
                    break
        return tally

    def _validate(self, step: int, state: TrainState, bar: Progress) -> float:
        """Score the held-out regions; larger is better."""
        if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((state.params, state.stats))):
            raise _diverged(f"at step {step}")  # the last cost was a number, but the new weights are not
        predictions = self.validator.predict(lambda tiles: self.probability(state.params, state.stats, tiles))
        metrics, overlay = self.validator.score(predictions)
        self.record["validation"] = metrics
        self.log.log(step, {f"validation_{name}": value for name, value in metrics.items()})
        self.log.log_image(step, "validation_overlay", overlay)
        bar.note(
            f"step {step}: validation loss {metrics['loss']:.3f}, cells' Jaccard {metrics['jaccard']:.3f} and "
            f"Dice {metrics['dice']:.3f}"
        )
        return metrics["jaccard"] if self.config.trainer.monitor is Monitor.jaccard else -metrics["loss"]

    def _due(self, step: int) -> bool:
        """Whether to validate after a step."""
        return step == self.config.trainer.steps or (step > 0 and step % self.config.trainer.validate_every == 0)

    def _out_of_time(self, seconds: float) -> bool:
        budget = self.config.trainer.max_minutes
        return budget is not None and seconds > 60 * budget

    def _reason(self, step: int, tally: Tally, out_of_time: bool) -> str | None:
        trainer = self.config.trainer
        if step == trainer.steps:
            return "all steps done"
        if out_of_time:
            return f"trainer.max_minutes={trainer.max_minutes:g} are over"
        if trainer.patience and tally.stale >= trainer.patience:
            return f"no improvement in {tally.stale} validations"
        return None


class _Reports:
    """Means over intervals of steps, logged one interval late so that the loop never waits for the device."""

    def __init__(self, config: TrainConfig, class_names: tuple[str, ...], log: RunLog, bar: Progress):
        self.rate = learning_rate(config.optimizer, config.trainer.steps)
        self.class_names, self.log, self.bar = class_names, log, bar
        self.pending: tuple[int, StepSums] | None = None

    def push(self, step: int, sums: StepSums) -> None:
        """Keep the sums of the interval that ended at `step`; log those of the one before."""
        self.flush()
        self.pending = step, sums

    def flush(self) -> None:
        """Log what is pending.

        Raises:
            UserError: if the cost was not finite.
        """
        if self.pending is None:
            return
        step, sums = self.pending[0], jax.device_get(self.pending[1])
        self.pending = None
        steps = int(sums.steps)
        if steps == 0:
            return
        loss = float(sums.loss) / steps
        if not math.isfinite(loss + float(sums.penalty)):
            raise _diverged(f"between steps {step - steps} and {step}")
        metrics = {
            "train_loss": loss,
            "train_penalty": float(sums.penalty) / steps,
            "learning_rate": float(np.asarray(self.rate(jnp.asarray(step - 1)))),
        }
        accuracy = sums.correct / np.maximum(sums.total, np.finfo(np.float32).tiny)
        metrics |= {f"train_accuracy_{n}": float(a) for n, a in zip(self.class_names, accuracy, strict=True)}
        self.log.log(step, metrics)
        self.bar.update(step, f"loss {loss:.3f}")


def _diverged(when: str) -> UserError:
    return UserError(
        f"the cost stopped being a number {when}; lower optimizer.learning_rate, or set optimizer.clip_norm=1"
    )


def _intervals(step: int, steps: int, *every: int) -> Iterator[tuple[int, int]]:
    """Cut the steps from `step` on wherever something is due; the cuts do not depend on `step`."""
    while step < steps:
        end = min(steps, *((step // n + 1) * n for n in every))
        yield step, end
        step = end
