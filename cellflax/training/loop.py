"""The training loop: steps, reports, validation and checkpoints in a fixed order."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from cellflax.losses import output_activation
from cellflax.models.ensemble import member_probabilities
from cellflax.progress import Progress
from cellflax.training.checkpoint import Checkpoints
from cellflax.training.config import Monitor, TrainConfig
from cellflax.training.dispatch import Dispatch
from cellflax.training.held_out import Sight, Validator
from cellflax.training.interval_reports import IntervalReports, diverged
from cellflax.training.pace import Pace
from cellflax.training.processes import ALONE, Processes
from cellflax.training.report import overlay_of
from cellflax.training.runlog import RunLog
from cellflax.training.state import StepSums, TrainState, TrainStep, on_one_device, put_on
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
        processes: those that train together; all of them run the loop, and the first decides.
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
        processes: Processes = ALONE,
    ):
        self.together, self.processes = together, processes
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
        is_due_now = self.processes.agree(tally.validated_step != first and self._is_due(first, pace, validations))
        if not is_due_now:
            tally.reason = self.processes.agree(self._reason(first, tally, pace))
        if tally.reason is None:
            tally.reported_score = tally.reported_regions = None  # of the end of a shorter training
        dispatch = Dispatch(self.step, self.feed, self.together, pace, validations.started, self._by_time)
        with Progress(self.config.trainer.steps, first, self.config.logger.line_seconds) as bar:
            reports = IntervalReports(self.config, pace, self.clock, self.validator.class_names, self.log, bar)
            while tally.reason is None:
                end = step if is_due_now else self._end(step)
                is_due_now = False
                # 1. Update.
                # On the state's devices: for sums from elsewhere, another program would be compiled.
                sums = put_on(StepSums.zero(len(self.validator.class_names)), state.step.sharding)
                position = pace.position
                while step < end and self._goes_on(step, signals, pace):
                    state, sums, step, position = dispatch(state, sums, step, end)
                    if self._by_time(validations.is_due()):
                        break
                # 2. Report the interval before this one, whose sums are ready by now.
                reports.push(step, sums, position)
                if not self._by_time(self._is_due(step, pace, validations)) and signals.received is None:
                    continue
                # 3. Before anything is saved, make sure that the cost is a number.
                reports.flush()
                dispatch.all_finished(step)
                # 4. Validate, unless somebody is waiting for us to stop.
                score, sights = None, []
                if signals.received is None:
                    if self.processes.leads:
                        score, sights = self._validate(step, state, bar, validations, pace)
                        tally.validated(step, score)
                        validations.plan(pace)
                        tally.reason = self._reason(step, tally, pace)
                    score = self._share(tally, score)
                    if tally.reason is None:
                        self._announce(step, tally, pace, bar)
                    elif (regions := self.processes.agree(validations.last_regions)) is not None:
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

    def _goes_on(self, step: int, signals: SignalWatch, pace: Pace) -> bool:
        """Whether another step is to be dispatched."""
        self.processes.settle(signals)
        is_over = self._by_time(bool(step) and pace.is_over(step))
        return signals.received is None and not is_over

    def _by_time[T](self, value: T) -> T:
        """What process 0 has of a value that is a matter of time with a time budget, and only then."""
        return value if self.config.trainer.max_minutes is None else self.processes.agree(value)

    def _share(self, tally: Tally, score: float | None) -> float | None:
        """Give the others the progress and the score that process 0 found; alone, nothing changes."""
        content, score = self.processes.agree((tally.to_json(), score))
        if not self.processes.leads:
            vars(tally).update(content)
        return score

    def _validate(
        self, step: int, state: TrainState, bar: Progress, validations: Validations, pace: Pace
    ) -> tuple[float, list[Sight]]:
        """Score the held-out regions, or a sample of them (larger is better); and what the network sees there."""
        params, stats = on_one_device((state.params, state.stats))
        if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((params, stats))):
            raise diverged(f"at step {step}")  # the last cost was a number, but the new weights are not
        metrics, sights = validations.score(lambda tiles: self.probability(params, stats, tiles), pace)
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
        if not self.processes.leads:
            return
        params, stats = on_one_device((chosen.params, chosen.stats))
        metrics = validations.score_last(lambda tiles: self.probability(params, stats, tiles), regions)
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


def _words(metrics: Metrics) -> str:
    return f"loss {metrics['loss']:.3f}, cells' Jaccard {metrics['jaccard']:.3f} and Dice {metrics['dice']:.3f}"
