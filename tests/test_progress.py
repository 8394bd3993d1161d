"""Progress of a loop, with and without a terminal."""

import io

from cellflax.progress import Progress


def test_progress_without_a_terminal_prints_lines_with_rate_and_time_left():
    now, stream = 0.0, io.StringIO()
    progress = Progress(140, initial=100, line_seconds=30, stream=stream, clock=lambda: now)
    for step in range(101, 141):
        now += 60 if step == 101 else 2  # compiling, then half a step per second
        progress.update(step, f"loss {step}")
        if step == 120:
            progress.note("validation 0.8")
    assert stream.getvalue().splitlines() == [
        "step 101/140, loss 101",
        "step 116/140, 0.5 steps/s, 00:48 left, loss 116",
        "validation 0.8",
        "step 131/140, 0.5 steps/s, 00:18 left, loss 131",
        "step 140/140, 0.5 steps/s, 00:00 left, loss 140",
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_on_a_terminal_is_a_bar():
    stream = Terminal()
    with Progress(10, initial=4, stream=stream) as progress:
        progress.update(7, "loss 0.5")
        progress.note("validation 0.8")
        progress.update(10, "loss 0.25")
    assert "10/10" in stream.getvalue()
    assert "loss 0.25" in stream.getvalue()
    assert "validation 0.8\n" in stream.getvalue()
