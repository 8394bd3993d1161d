"""Objects that Hydra may build for a sweep, and settings that no sweep has."""

import pytest

from cellflax.errors import UserError
from cellflax.launching import settings


def test_targets():
    settings.check_target("launcher._target_", "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher")
    settings.check_target("sweeper.sampler._target_", "optuna.samplers.TPESampler")
    for key, target in (
        ("launcher._target_", "os.mkdir"),
        ("launcher._target_", "hydra_plugins.hydra_ray_launcher.ray_aws_launcher.RayAWSLauncher"),
        ("launcher.setup._target_", "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"),
        ("sweeper.sampler._target_", "optuna.storages.RedisStorage"),
        ("sweeper.sampler._target_", "hydra_plugins.x.Y"),
    ):
        with pytest.raises(UserError, match=r"^hydra\..*_target_.*; (remove it|install one or remove it)$"):
            settings.check_target(key, target)


@pytest.mark.parametrize("key", ["custom_search_space", "storage"])
def test_settings_of_optuna_that_run_code(key):
    settings.check_sweeper({key: None})
    with pytest.raises(UserError, match=rf"^hydra\.sweeper\.{key} could run code"):
        settings.check_sweeper({key: "os.mkdir"})
