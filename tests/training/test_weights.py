"""Reading trained networks: what it costs."""

import jax
import jax.monitoring
import pytest

from cellflax.models.patch_net import PatchNetConfig, Stage
from cellflax.models.skip_fcn import SkipFcnConfig
from cellflax.models.unet import UNetConfig, UpLevel
from cellflax.training.weights import read_weights
from tests.random_checkpoints import random_checkpoint

NETWORKS = {
    "patch_net": PatchNetConfig(stages=[Stage([4], [6]), Stage([3], [6])], dense=[8]),
    "skip_fcn": SkipFcnConfig(filters=[4, 6], residual_blocks=[0, 1], context_px=4),
    "unet": UNetConfig(down=[[4]], bottom=[6], up=[UpLevel(4, [4])], context_px=4),
}
COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compiled():
    """Seconds of each program that JAX compiles, as they come."""
    seconds: list[float] = []

    def listen(event: str, duration: float, **_: object) -> None:
        if event == COMPILED:
            seconds.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seconds
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_read_without_a_program_being_compiled(name, tmp_path, compiled):
    """Initialising it would compile one for every kind of layer: seconds before the first image."""
    path = random_checkpoint(tmp_path / "run", NETWORKS[name], members=2)
    # Making the checkpoint did compile, so that the listener is known to hear.
    assert compiled
    compiled.clear()
    jax.clear_caches()  # as in a new process
    read_weights(path)
    assert not compiled
