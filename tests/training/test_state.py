"""One training step: what it counts, and that the number of devices does not show in the result."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cellflax.data.augment import AugmentConfig
from cellflax.data.example import IGNORE, Example
from cellflax.data.sampler import CropsConfig, PatchesConfig, Sampler, SamplerConfig
from cellflax.losses import l2_penalty
from cellflax.losses.cross_entropy import cross_entropy
from cellflax.models.patch_net import PatchNet, PatchNetConfig, Regularization, Stage
from cellflax.training.objective import objective
from cellflax.training.optimizers import SgdConfig, build_optimizer
from cellflax.training.state import StepSums, TrainState, create_state, data_mesh, make_train_step, replicate
from tests.models.networks import trained_like

STEPS = 20
# 5 x 5 pixels.
NETWORK = PatchNetConfig(stages=[Stage([2], [4]), Stage([2], [6])], dense=[7])
PLAIN = AugmentConfig(rotate=False, reflect=False)
CROPS = CropsConfig(batch=4, size=8, augment=PLAIN)


def disc_example() -> Example:
    """A bright disc with an edge on a dark, noisy ground; a corner is not annotated."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((40, 48))
    radius = np.hypot(rows - 18, columns - 22)
    classes = np.select([radius < 10, radius < 13], [1, 0], 2).astype(np.int8)
    image = np.stack([radius < 13, radius < 6], -1) + 0.3 * rng.normal(size=(40, 48, 2))
    classes[:8, :8] = IGNORE
    return Example("disc", image.astype(np.float32), classes, (classes == 1).astype(np.int32))


class Training:
    """A small training on some devices; every run begins with the same state."""

    def __init__(
        self,
        devices: int,
        sampling: SamplerConfig = CROPS,
        members: int = 1,
        seed: int = 0,
        average: float = 0.0,
        options: dict | None = None,
        **changes,
    ):
        config = dataclasses.replace(NETWORK, **changes)
        networks = [trained_like(config, seed=1 + seed + i) for i in range(members)]
        network = networks[0]
        self.sampler = Sampler(
            sampling, (disc_example(),), border=network.geometry.border, multiple=network.geometry.multiple, classes=3
        )
        self.mesh = data_mesh(devices)
        optimizer = build_optimizer(SgdConfig(learning_rate=0.02, average=average), STEPS)
        self.graph, state = create_state(networks, optimizer)
        self.state = replicate(state, self.mesh)
        self.data = replicate(self.sampler.data, self.mesh)
        self.step = make_train_step(
            self.graph, optimizer, cross_entropy, 1e-3, self.sampler, seed, self.mesh, **(options or {})
        )

    def run(self, steps: int = STEPS) -> tuple[TrainState, StepSums, np.ndarray]:
        """Final state, sums over the steps, and the loss of each step."""
        state = self.donated = jax.tree.map(jnp.copy, self.state)
        sums, losses = replicate(StepSums.zero(3), self.mesh), []
        for position in range(steps):
            before = float(sums.loss)
            state, sums = self.step(state, self.data, sums, np.float32(position))
            losses.append(float(sums.loss) - before)
        return state, sums, np.array(losses)


LARGE_KERNEL = {"stages": [Stage([2], [4]), Stage([10], [6])], "side_filters": [3]}  # 21 x 21 pixels


@pytest.mark.parametrize("changes", [{}, LARGE_KERNEL], ids=["small kernels", "large kernels"])
def test_one_and_four_devices_agree(changes):
    """With batch normalisation, whose statistics are those of the global batch."""
    trainings = [Training(1, **changes), Training(4, **changes)]
    (one, one_sums, one_losses), (four, four_sums, four_losses) = (training.run() for training in trainings)
    assert one_losses[-5:].mean() < one_losses[:5].mean() - 0.1  # it does learn
    np.testing.assert_allclose(four_losses, one_losses, rtol=0, atol=1e-5)
    for a, b in zip(jax.tree.leaves((four, four_sums)), jax.tree.leaves((one, one_sums)), strict=True):
        assert len(a.sharding.device_set) == 4
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    for training in trainings:
        donated = (training.donated.params, training.donated.stats, training.donated.opt_state)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(donated))
        assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(training.data))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param(
            LARGE_KERNEL,
            marks=pytest.mark.skipif(
                jax.__version_info__ < (0, 12), reason="XLA of JAX 0.11 gathers what it transforms (FFT)"
            ),
        ),
    ],
    ids=["small kernels", "large kernels"],
)
def test_each_device_works_on_its_share_of_the_batch(changes):
    """Compiled for four devices, sums are exchanged but no pixels: each computes one of the four crops only."""
    training = Training(4, **changes)
    step = training.step.lower(training.state, training.data, replicate(StepSums.zero(3), training.mesh), np.float32(0))
    text = step.compile().as_text()
    assert " all-reduce(" in text
    for exchange in ("all-gather", "all-to-all", "collective-permute"):
        assert f" {exchange}(" not in text
    edge = 8 + 2 * training.sampler.border - 1  # of what the first layer gives for a crop
    assert f"f32[1,{edge},{edge},4]" in text
    assert f"f32[4,{edge},{edge},4]" not in text


def test_a_step_adds_up_what_the_objective_says():
    training = Training(1, regularization=Regularization.none)
    state = training.state
    batch = training.sampler(training.data, 0, 0)
    network: PatchNet = nnx.merge(training.graph, only(state.params), only(state.stats))
    logits = np.asarray(network(batch.image), float)
    _, sums, _ = training.run(1)

    target, weight = np.asarray(batch.target), np.asarray(batch.weight)
    right = logits.argmax(-1) == target
    log_softmax = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    log_likelihood = np.take_along_axis(log_softmax, target[..., None], -1)[..., 0]
    assert int(sums.steps) == 1
    assert float(sums.loss) == pytest.approx(-np.mean(weight * log_likelihood), rel=1e-4)
    assert float(sums.penalty) == pytest.approx(1e-3 * float(l2_penalty(only(state.params))), rel=1e-3)
    for k in range(3):
        assert float(sums.total[k]) == pytest.approx(weight[target == k].sum(), rel=1e-5)
        assert float(sums.correct[k]) == pytest.approx(weight[(target == k) & right].sum(), rel=1e-5)


def test_update_is_a_step_down_the_gradient_of_the_objective():
    training = Training(1, PatchesConfig(batch=8, augment=PLAIN), regularization=Regularization.none)
    before = training.state
    cost = objective(training.graph, cross_entropy, 1e-3)
    batch = training.sampler(training.data, 0, 0)
    slope_of = jax.jit(jax.grad(lambda p: cost(p, only(before.stats), batch, jax.random.key(0))[0]))
    gradient = slope_of(only(before.params))
    after, _, _ = training.run(1)
    assert int(after.step) == 1
    trees = only(after.params), only(before.params), gradient
    for new, old, slope in zip(*map(jax.tree.leaves, trees), strict=True):
        np.testing.assert_allclose(new, old - 1.9 * 0.02 * slope, rtol=1e-4, atol=1e-6)  # Nesterov's first


def test_dropout_is_drawn_anew_at_each_step_and_repeats_exactly():
    training = Training(1, regularization=Regularization.dropout)
    first, again = (training.run(3)[2] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    fixed = objective(training.graph, cross_entropy, 0.0)
    batch = training.sampler(training.data, 0, 0)
    masks = jax.random.fold_in(jax.random.key(0), 0xD0)
    keys = [jax.random.fold_in(masks, step) for step in range(2)]
    draw = jax.jit(lambda key: fixed(only(training.state.params), only(training.state.stats), batch, key)[0])
    assert float(draw(keys[0])) == pytest.approx(first[0], rel=1e-5)  # the seed's key and the step
    assert float(draw(keys[1])) != pytest.approx(first[0], rel=1e-3)


@pytest.mark.parametrize("regularization", [Regularization.batch_norm, Regularization.dropout])
def test_members_of_an_ensemble_are_the_networks_of_their_seeds(regularization):
    together = Training(1, members=2, seed=3, regularization=regularization)
    alone = [Training(1, seed=3 + i, regularization=regularization) for i in range(2)]
    state, sums, _ = together.run()
    results = [training.run() for training in alone]
    for i, (expected, _, _) in enumerate(results):
        trees = (state.params, state.stats), (expected.params, expected.stats)
        for a, b in zip(*map(jax.tree.leaves, trees), strict=True):
            np.testing.assert_allclose(a[i], b[0], rtol=1e-4, atol=1e-5)
    assert int(sums.steps) == STEPS
    for total, first, second in zip(sums, results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(total, (first + second) / 2, rtol=1e-3)
    moved = jax.tree.leaves(state.params)[0]
    assert not np.allclose(moved[0], moved[1])


def only(tree):
    """The single member of an ensemble of one."""
    assert all(len(leaf) == 1 for leaf in jax.tree.leaves(tree))
    return jax.tree.map(lambda leaf: leaf[0], tree)


def test_moving_average_of_weights_and_statistics():
    """Written out; what is trained is not changed by it."""
    plain, averaging = Training(1, members=2), Training(1, members=2, average=0.7)
    expected = jax.tree.map(np.asarray, {"params": plain.state.params, "stats": plain.state.stats})
    for steps in range(1, 6):
        newest, *_ = plain.run(steps)
        newest = {"params": newest.params, "stats": newest.stats}
        keep = min(0.7, (1 + steps) / (10 + steps))
        expected = jax.tree.map(lambda old, new, keep=keep: keep * old + (1 - keep) * new, expected, newest)
    state, *_ = averaging.run(5)
    assert state.trained is not None
    jax.tree.map(np.testing.assert_array_equal, state.trained, newest)
    found = {"params": state.params, "stats": state.stats}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)
    moved = [float(jnp.abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (found, newest)), strict=True)]
    assert max(moved) > 1e-3


def test_the_rate_is_an_argument_that_compiles_nothing():
    training = Training(1)
    training.run(2)
    state = jax.tree.map(jnp.copy, training.state)
    for position in (0.0, 3.25, 19.0):
        state, _ = training.step(state, training.data, replicate(StepSums.zero(3), training.mesh), np.float32(position))
    assert training.step._cache_size() == 1  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("average", [0.0, 0.7])
def test_several_steps_in_one_call_are_the_same_to_the_last_bit(average):
    training = Training(1, average=average)
    state, sums, _ = training.run(7)
    together, of_all = jax.tree.map(jnp.copy, training.state), replicate(StepSums.zero(3), training.mesh)
    for positions in (np.arange(3, dtype=np.float32), np.float32(3), np.arange(4, 7, dtype=np.float32)):
        together, of_all = training.step(together, training.data, of_all, positions)
    assert int(together.step) == 7
    jax.tree.map(np.testing.assert_array_equal, (together, of_all), (state, sums))


def test_a_step_talks_to_nobody():
    training = Training(1)
    arguments = training.state, training.data, replicate(StepSums.zero(3), training.mesh), np.zeros(3, np.float32)
    text = training.step.lower(*arguments).compile().as_text()
    assert " while(" in text
    for exchange in ("callback", "infeed", "outfeed", " send(", " recv("):
        assert exchange not in text
