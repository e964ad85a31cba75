"""The funnel's figure: its counts, its shares, the paper's."""

from rl_reason.reports.funnel import funnel_figure


def test_bars_are_as_long_as_their_share_and_names_are_escaped():
    figure = funnel_figure({"problems": 8, "without special judge": 6, "<b>": 2, "kept": 0})
    assert figure.count("<rect") == 4 and 'width="350.0"' in figure and 'width="262.5"' in figure
    assert "6 (75%); paper 61%" in figure and "0 (0%); paper 32%" in figure
    assert "&lt;b&gt;" in figure and "<b>" not in figure


def test_no_problems_divide_by_nothing():
    assert "0 (0%)" in funnel_figure({"problems": 0, "kept": 0})
