"""The run's record: jsonl that survives kills, W&B offline."""

import errno
import json
import math
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import wandb

from cellflax.errors import UserError
from cellflax.training.runlog import LoggerConfig, RunLog, WandbMode, _wandb_id

DISABLED = LoggerConfig(wandb=WandbMode.disabled)


def lines_of(log: RunLog) -> list[dict]:
    return [json.loads(line, parse_constant=pytest.fail) for line in log.metrics_path.read_text().splitlines()]


def test_one_json_object_per_line(tmp_path):
    with RunLog(tmp_path, DISABLED, {}) as log:
        log.log(1, {"loss": 0.5, "cells": 7})
        log.log(np.int64(2), {"loss": jnp.float32(0.25), "rate": np.float64(3.0)})
        assert lines_of(log) == [{"step": 1, "loss": 0.5, "cells": 7}, {"step": 2, "loss": 0.25, "rate": 3.0}]


def test_values_that_json_has_not_become_null(tmp_path):
    log = RunLog(tmp_path, DISABLED, {})
    log.log(1, {"a": math.nan, "b": math.inf, "c": jnp.float32(-jnp.inf), "d": 1})
    assert lines_of(log) == [{"step": 1, "a": None, "b": None, "c": None, "d": 1}]


def test_reopening_appends(tmp_path):
    for step in (1, 2):
        with RunLog(tmp_path, DISABLED, {}) as log:
            log.log(step, {"loss": 1.0})
    assert [line["step"] for line in lines_of(log)] == [1, 2]


@pytest.mark.parametrize(
    ("tail", "step", "kept"),
    [
        ("", 20, [10, 20]),
        ("", 0, []),
        ("", 30, [10, 20, 30]),
        ('{"step": 40, "lo', 30, [10, 20, 30]),  # torn by a kill
        ('{"step": 40, "loss": 1.0}', 40, [10, 20, 30, 40]),  # only the line break is missing
        ('{"st\n{"step": 30, "loss": 9.0}\n', 30, [10, 20, 30]),  # appended to a torn line
    ],
)
def test_truncate(tmp_path, tail, step, kept):
    log = RunLog(tmp_path, DISABLED, {})
    for i in (10, 20, 30):
        log.log(i, {"loss": i / 10})
    with log.metrics_path.open("a") as file:
        file.write(tail)
    log.truncate(step)
    assert [line["step"] for line in lines_of(log)] == kept
    log.log(step + 1, {"loss": 0.0})
    assert lines_of(log)[-1] == {"step": step + 1, "loss": 0.0}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("damage", [b"\0" * 30, b"\xff\xfe{", b"[1]", b'{"step": "1"}'])
def test_damage_within_is_told_and_at_the_end_is_not(tmp_path, capsys, damage):
    """A power cut leaves NUL at the end; the lines before a damaged one stay."""
    log = RunLog(tmp_path, DISABLED, {})
    for step in (10, 20, 30):
        log.log(step, {"loss": 1.0})
    lines = log.metrics_path.read_bytes().splitlines(keepends=True)
    log.metrics_path.write_bytes(b"".join(lines) + damage)
    log.truncate(30)
    assert [line["step"] for line in lines_of(log)] == [10, 20, 30]
    assert capsys.readouterr().err == ""
    log.metrics_path.write_bytes(lines[0] + damage + b"\n" + lines[2])
    log.truncate(30)
    assert [line["step"] for line in lines_of(log)] == [10]
    lost = f"note: {log.metrics_path} has lost its lines between step {{}} and step 30, where it resumes\n"
    assert capsys.readouterr().err == (
        f"note: {log.metrics_path} is damaged in line 2; that line and those after it are left out\n{lost.format(10)}"
    )
    log.metrics_path.write_bytes(b"")  # as a disk leaves it that lost its power
    log.truncate(30)
    log.metrics_path.unlink()
    log.truncate(30)
    assert capsys.readouterr().err == 2 * lost.format(0)


@pytest.mark.parametrize("method", ["open", "write_bytes"])
def test_a_full_disk_names_the_file(tmp_path, monkeypatch, method):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = RunLog(tmp_path, DISABLED, {})
    log.log(1, {"loss": 1.0})
    write = (lambda: log.log(2, {})) if method == "open" else (lambda: log.truncate(1))
    with monkeypatch.context() as patch:
        patch.setattr(Path, method, full)
        with pytest.raises(OSError, match="No space left") as caught:
            write()
    assert caught.value.filename == str(log.metrics_path)
    assert [line["step"] for line in lines_of(log)] == [1]


@pytest.mark.parametrize("content", [b"", b"\0" * 13, b"a/b\n", b"\xff\n", b"x" * 65])
def test_a_lost_identity_is_replaced(tmp_path, capsys, content):
    path = tmp_path / "wandb_id.txt"
    path.write_bytes(content)
    identity = _wandb_id(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{12}", identity)
    assert path.read_text() == identity + "\n"
    assert capsys.readouterr().err == (f"note: {path} holds no identity of a W&B run, so that W&B begins a new run\n")
    assert _wandb_id(tmp_path) == identity
    assert capsys.readouterr().err == ""
    assert [file.name for file in tmp_path.iterdir()] == ["wandb_id.txt"]


def test_truncate_without_a_file(tmp_path):
    RunLog(tmp_path, DISABLED, {}).truncate(0)
    assert list(tmp_path.iterdir()) == []


def test_wandb_offline_writes_below_the_run_and_nothing_to_the_terminal(tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("WANDB_SILENT", raising=False)
    with RunLog(tmp_path, LoggerConfig(tags=["toy"]), {"model": {"kind": "unet"}}) as log:
        log.log(1, {"loss": math.nan, "accuracy": 0.5})
        log.log_image(1, "overlay", np.zeros((4, 5, 3), np.uint8))
        log.finish()
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))
    assert list(run.glob("files/media/images/overlay*.png"))
    assert lines_of(log) == [{"step": 1, "loss": None, "accuracy": 0.5}]
    assert capfd.readouterr() == ("", "")


class FakeRun:
    def __init__(self):
        self.logged, self.exit_codes = [], []

    def define_metric(self, *args, **kwargs):
        pass

    def log(self, values):
        self.logged.append(values)

    def finish(self, exit_code):
        self.exit_codes.append(exit_code)


def test_resumed_run_keeps_its_wandb_identity_and_own_step_axis(tmp_path, monkeypatch):
    started = []

    def init(**settings):
        started.append((settings, FakeRun()))
        return started[-1][1]

    monkeypatch.setattr(wandb, "init", init)
    online = LoggerConfig(wandb=WandbMode.online, group="sweep")

    def interrupted() -> None:
        with RunLog(tmp_path, online, {"seed": 3}) as log:
            log.log(7, {"loss": 1.0})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with RunLog(tmp_path, online, {"seed": 3}) as log:
        log.log(5, {"loss": 2.0})
    log.finish()
    (first, first_run), (second, second_run) = started
    assert first["id"] == second["id"]
    expected = {"resume": "allow", "mode": "online", "group": "sweep", "config": {"seed": 3}}
    assert expected.items() <= first.items()
    assert (first_run.logged, second_run.logged) == ([{"step": 7, "loss": 1.0}], [{"step": 5, "loss": 2.0}])
    assert (first_run.exit_codes, second_run.exit_codes) == ([1], [0])


@pytest.mark.parametrize("error", [wandb.errors.UsageError("No API key configured.\nmore"), OSError("unreachable")])
def test_wandb_that_cannot_start_is_one_line(tmp_path, monkeypatch, error):
    def init(**_):
        raise error

    monkeypatch.setattr(wandb, "init", init)
    with pytest.raises(UserError, match=r"W&B cannot start: (No API|unreach).*wandb=offline") as caught:
        RunLog(tmp_path, LoggerConfig(wandb=WandbMode.online), {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("shape", "dtype"), [((4, 5), np.uint8), ((4, 5, 4), np.uint8), ((4, 5, 3), np.float32)])
def test_picture_of_another_form_is_refused(tmp_path, shape, dtype):
    with pytest.raises(ValueError, match=r"\(H, W, 3\) of uint8"):
        RunLog(tmp_path, DISABLED, {}).log_image(1, "x", np.zeros(shape, dtype))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"project": ""}, "logger.project must not be empty"),
        ({"line_seconds": 0}, "logger.line_seconds must be above 0, got 0"),
    ],
)
def test_logger_ranges(settings, message):
    with pytest.raises(UserError, match=message):
        LoggerConfig(**settings)


@pytest.mark.parametrize(
    ("named", "mode"),
    [
        (None, WandbMode.offline),
        ("", WandbMode.offline),
        ("disabled", WandbMode.disabled),
        ("Online", WandbMode.online),
        ("dryrun", WandbMode.offline),
    ],
)
def test_the_environment_says_the_mode_unless_the_user_did(monkeypatch, named, mode):
    monkeypatch.delenv("WANDB_MODE")
    if named is not None:
        monkeypatch.setenv("WANDB_MODE", named)
    assert LoggerConfig().mode is mode
    assert LoggerConfig(wandb=WandbMode.online).mode is WandbMode.online


def test_an_unknown_mode_of_the_environment_is_one_line(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "off")
    with pytest.raises(UserError, match=r"WANDB_MODE=off is no mode of W&B; set it to offline, online or disabled, or"):
        _ = LoggerConfig().mode


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (LoggerConfig(), ("theirs", ("a", "b"), "g")),
        (LoggerConfig(project="mine", tags=["c"], group="h"), ("mine", ("c",), "h")),
    ],
)
def test_the_environment_says_project_tags_and_group_unless_the_user_did(tmp_path, monkeypatch, config, names):
    for name, value in (("PROJECT", "theirs"), ("TAGS", "a,b"), ("RUN_GROUP", "g")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    started = []
    init = wandb.init
    monkeypatch.setattr(wandb, "init", lambda **settings: started.append(init(**settings)) or started[-1])
    with RunLog(tmp_path, config, {}):
        pass
    (run,) = started
    assert (run.project, run.tags, run.group) == names
