from __future__ import annotations

import io

import pytest
from rich.console import Console as RichConsole

from rl_reason.tracking.console import Console, render_table, short_count, short_time


class Time:
    now = 100.0

    def __call__(self):
        return self.now


def rl(iteration, **more):
    return {
        "iteration": iteration,
        "stage": "rl",
        "reward/mean": 0.6125,
        "accuracy/train": 0.64,
        "response/tokens_mean": 141.6,
        "throughput/rollout_tokens_per_s": 12345.0,
        "policy/logprob_gap_max": 4.1e-7,
        "learner/loss": 0.001,
        **more,
    }


def plain(clock):
    out = io.StringIO()
    return out, Console(RichConsole(file=out, force_terminal=False, width=200, highlight=False), clock=clock)


def test_one_plain_line_an_iteration_where_there_is_no_terminal():
    clock = Time()
    out, console = plain(clock)
    console.start_stage("02-rl", 12)
    clock.now += 10
    console.update(rl(0, **{"accuracy/eval": 0.5}))
    clock.now += 10
    console.update(rl(1, **{"reward/mean": float("nan")}))
    assert out.getvalue().splitlines() == [
        "02-rl  1/12  reward 0.613  acc 64.0%  eval 50.0%  len 142  tok/s 12.3k  gap 4e-07  eta 1m50s",
        "02-rl  2/12  reward 0.613  acc 64.0%  eval 50.0%  len 142  tok/s 12.3k  gap 4e-07  eta 1m40s",
    ]


def test_eta_of_a_resumed_stage_counts_only_what_this_process_did():
    clock = Time()
    out, console = plain(clock)
    console.start_stage("01-sft", 10, start=8)
    clock.now += 3
    console.update({"iteration": 8, "stage": "sft", "learner/loss": 0.5})
    clock.now += 3
    console.update({"iteration": 9, "stage": "sft", "learner/loss": 0.25})
    console.close()
    assert out.getvalue().splitlines() == [
        "01-sft: continuing after 8 of 10 iterations",
        "01-sft  9/10  loss 0.5000  eta 3s",
        "01-sft 10/10  loss 0.2500  took 6s",
    ]


def test_on_a_terminal_the_stage_ends_as_one_line():
    out = io.StringIO()
    console = Console(RichConsole(file=out, force_terminal=True, width=160, legacy_windows=False), clock=Time())
    console.start_stage("rl[bold]", 2)
    console.update(rl(0))
    console.update(rl(1))
    console.end()
    console.end()
    last = out.getvalue().rsplit("\r", 1)[-1]
    assert "2/2" in last and "reward 0.613" in last and "tok/s 12.3k" in last


def test_what_is_said_is_not_markup():
    out, console = plain(Time())
    console.say("wrote [red]/tmp/a[/red]")
    assert out.getvalue() == "wrote [red]/tmp/a[/red]\n"


def test_the_closing_table_has_all_columns_and_shows_markup_as_text():
    out = io.StringIO()
    table = render_table([{"stage": "sft", "accuracy": "48.1%"}, {"stage": "[b]rl", "change": "+29.2"}], title="Stages")
    RichConsole(file=out, width=80).print(table)
    text = out.getvalue()
    header, rows = text.splitlines()[2], [line for line in text.splitlines() if "sft" in line or "[b]rl" in line]
    assert [cell.strip() for cell in header.strip("┃").split("┃")] == ["stage", "accuracy", "change"]
    assert [[cell.strip() for cell in row.strip("│").split("│")] for row in rows] == [
        ["sft", "48.1%", ""],
        ["[b]rl", "", "+29.2"],
    ]


def test_a_log_has_room_for_the_whole_table(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    Console().table([{f"a long heading {k}": "12.3% … 45.6%" for k in range(8)}])
    written = capsys.readouterr().out
    assert all(f"a long heading {k} " in written for k in range(8))


@pytest.mark.parametrize(("value", "text"), [(950, "950"), (12345, "12.3k"), (2.5e6, "2.5M"), (3e9, "3.0G")])
def test_short_count(value, text):
    assert short_count(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "5s"), (59.6, "1m00s"), (92, "1m32s"), (7325, "2h02m")])
def test_short_time(seconds, text):
    assert short_time(seconds) == text
