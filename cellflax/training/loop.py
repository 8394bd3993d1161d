"""The training loop: steps, reports, validation and checkpoints in a fixed order."""

import math
from collections.abc import Callable
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
from cellflax.training.dispatch import Dispatch
from cellflax.training.held_out import Sight, Validator
from cellflax.training.optimizers import learning_rate
from cellflax.training.pace import Pace
from cellflax.training.report import overlay_of
from cellflax.training.runlog import RunLog
from cellflax.training.state import StepSums, TrainState, TrainStep
from cellflax.training.stopping import Clock, SignalWatch, Tally
from cellflax.training.validations import Metrics, Validations


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
        clock: seconds since the command began; new by default.
        on_validation: gets step, progress and what the network sees in the held-out regions, after each checkpoint.
        together: updates in one call of the compiled update.
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
        clock: Clock | None = None,
        on_validation: Callable[[int, Tally, list[Sight]], None] | None = None,
        together: int = 1,
    ):
        self.together = together
        self.clock, self.on_validation = clock or Clock(), on_validation
        self.config, self.step, self.feed, self.validator = config, step, feed, validator
        self.checkpoints, self.log, self.record = checkpoints, log, record
        activation = output_activation(config.loss, validator.outputs)
        compute_type = config.trainer.precision.compute_type

        @jax.jit
        def probability(params, stats, tiles):
            def predict(tile):
                members = member_probabilities(graph, activation, params, stats, tile[None].astype(compute_type))
                return jnp.mean(members, axis=0)[0]

            return jax.lax.map(predict, tiles)

        self.probability = probability

    def run(self, state: TrainState, tally: Tally, signals: SignalWatch) -> Tally:
        """Train from a state to the last step or a reason to stop; the last state is always saved."""
        self.clock.add(tally.elapsed_s)
        first = saved = step = int(state.step)
        pace = Pace(self.config, self.clock, first, tally.position)
        validations = Validations(self.config, self.validator, self.clock, tally)
        validations.plan(pace)
        # A signal may have come before the validation of the last checkpoint.
        is_due_now = tally.validated_step != first and self._is_due(first, pace, validations)
        if not is_due_now:
            tally.reason = self._reason(first, tally, pace)
        if tally.reason is None:
            tally.reported_score = tally.reported_regions = None  # of the end of a shorter training
        dispatch = Dispatch(self.step, self.feed, self.together, pace, validations.started)
        with Progress(self.config.trainer.steps, first, self.config.logger.line_seconds) as bar:
            reports = _Reports(self.config, pace, self.clock, self.validator.class_names, self.log, bar)
            while tally.reason is None:
                end = step if is_due_now else self._end(step)
                is_due_now = False
                # 1. Update.
                # On the state's devices: for sums from elsewhere, another program would be compiled.
                sums = jax.device_put(StepSums.zero(len(self.validator.class_names)), state.step.sharding)
                position = pace.position
                while step < end and signals.received is None and not (step and pace.is_over(step)):
                    state, sums, step, position = dispatch(state, sums, step, end)
                    if validations.is_due():
                        break
                # 2. Report the interval before this one, whose sums are ready by now.
                reports.push(step, sums, position)
                if not self._is_due(step, pace, validations) and signals.received is None:
                    continue
                # 3. Before anything is saved, make sure that the cost is a number.
                reports.flush()
                dispatch.all_finished(step)
                # 4. Validate, unless somebody is waiting for us to stop.
                score, sights = None, []
                if signals.received is None:
                    score, sights = self._validate(step, state, bar, validations, pace)
                    tally.validated(step, score)
                    validations.plan(pace)
                    tally.reason = self._reason(step, tally, pace)
                    if tally.reason is None:
                        self._announce(step, tally, pace, bar)
                    elif (regions := validations.last_regions) is not None:
                        self._validate_best(step, state, tally, bar, validations, regions)
                # 5. Save, so that running again resumes from here; never overwrite a validated checkpoint.
                tally.elapsed_s = self.clock.seconds()
                tally.position = None if pace.position == step else pace.position
                if score is not None:
                    tally.timeline.append([step, round(tally.elapsed_s, 3)])
                if score is not None or step > saved:
                    self.checkpoints.save(state, {**self.record, "training": tally.to_json()}, score)
                    saved = step
                    validations.save_s = self.clock.seconds() - tally.elapsed_s
                if signals.received is not None:
                    break
                # 6. Show it.
                if self.on_validation is not None:
                    self.on_validation(step, tally, sights)
                pace.interrupted()
                validations.started()
        return tally

    def _validate(
        self, step: int, state: TrainState, bar: Progress, validations: Validations, pace: Pace
    ) -> tuple[float, list[Sight]]:
        """Score the held-out regions, or a sample of them (larger is better); and what the network sees there."""
        if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((state.params, state.stats))):
            raise _diverged(f"at step {step}")  # the last cost was a number, but the new weights are not
        metrics, sights = validations.score(lambda tiles: self.probability(state.params, state.stats, tiles), pace)
        self.record["validation"] = metrics
        self.log.log(step, {f"validation_{name}": value for name, value in metrics.items()})
        if self.log.takes_images:
            self.log.log_image(step, "validation_overlay", overlay_of(sights[0]))
        bar.note(f"step {step}: validation {_words(metrics)}")
        return self._monitored(metrics), sights

    def _validate_best(
        self, step: int, state: TrainState, tally: Tally, bar: Progress, validations: Validations, regions: int
    ) -> None:
        """Score the best checkpoint on more regions, or all, after a training that saw scores of a sample."""
        best = tally.best_step
        assert best is not None, "a validation has just been done"
        chosen = state if best == step else self.checkpoints.restore(state, best)[0]
        metrics = validations.score_last(lambda tiles: self.probability(chosen.params, chosen.stats, tiles), regions)
        if best == step:
            self.record["validation"] = metrics
        self.log.log(step, {f"final_{name}": value for name, value in metrics.items()})
        tally.reported_score, tally.reported_regions = self._monitored(metrics), regions
        bar.note(
            f"step {best}, the best by {tally.sample} held-out regions: on {regions} of "
            f"{len(self.validator.shapes)} {_words(metrics)}"
        )

    def _monitored(self, metrics: Metrics) -> float:
        return metrics["jaccard"] if self.config.trainer.monitor is Monitor.jaccard else -metrics["loss"]

    def _announce(self, step: int, tally: Tally, pace: Pace, bar: Progress) -> None:
        """Say, once, how many steps the time allows."""
        planned, speed = step + pace.remaining(step), pace.steps_per_second
        if self.config.trainer.max_minutes is None or tally.planned_steps is not None or speed is None:
            return
        tally.planned_steps = round(planned)
        bar.note(
            f"trainer.max_minutes={self.config.trainer.max_minutes:g} allows about {planned:.0f} steps, {speed:.3g} "
            f"per second; {tally.sample} of {len(self.validator.shapes)} held-out regions are validated while training"
        )

    def _end(self, step: int) -> int:
        """The next step after which something is due; it does not depend on where the training was resumed."""
        trainer = self.config.trainer
        every = [n for n in (trainer.log_every, trainer.validate_every) if n is not None]
        ends = [(step // n + 1) * n for n in every]
        return min(ends) if trainer.steps is None else min(trainer.steps, *ends)

    def _is_due(self, step: int, pace: Pace, validations: Validations) -> bool:
        """Whether to validate after a step."""
        if step == 0:
            return False
        every = self.config.trainer.validate_every
        return pace.is_over(step) or validations.is_due() or (every is not None and step % every == 0)

    def _reason(self, step: int, tally: Tally, pace: Pace) -> str | None:
        trainer = self.config.trainer
        if step == trainer.steps:
            return "all steps done"
        if step and pace.is_over(step):
            if pace.is_early:
                return "the learning rate was annealed in an earlier budget; a longer training is a new run"
            early = "" if pace.is_annealed else " before the learning rate was annealed"
            return f"trainer.max_minutes={trainer.max_minutes:g} are over{early}"
        if trainer.patience and tally.stale >= trainer.patience:
            return f"no improvement in {tally.stale} validations"
        return None


class _Reports:
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
            raise _diverged(f"between steps {step - steps} and {step}")
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


def _diverged(when: str) -> UserError:
    return UserError(
        f"the cost stopped being a number {when}; lower optimizer.learning_rate, or set optimizer.clip_norm=1"
    )


def _words(metrics: Metrics) -> str:
    return f"loss {metrics['loss']:.3f}, cells' Jaccard {metrics['jaccard']:.3f} and Dice {metrics['dice']:.3f}"
