"""Charts that a colour-blind person can read, and that carry strangers' names as text."""

from __future__ import annotations

from importlib.metadata import version
from itertools import pairwise

from dashboard.charts.drawing import carried, undrawn
from dashboard.charts.plotly_script import script_path
from dashboard.charts.style import figure, ink, label_ends, line, plain
from tests.dashboard.scenes import HOSTILE


def test_no_two_of_many_series_look_alike_and_neighbours_differ_without_colour() -> None:
    looks = [ink(place) for place in range(36)]
    assert len(set(looks)) == 36
    for one, other in pairwise(looks[:6]):
        assert one.dash != other.dash
        assert one.symbol != other.symbol


def test_names_at_the_ends_of_lines_do_not_overlap() -> None:
    chart = figure(x="Round", y="Loss")
    for place, name in enumerate(("one", "other", "third")):
        line(chart, name, [1, 2], [2.0, 1.0 + place / 1000], place)
    label_ends(chart)
    ends = [note for note in chart.layout.annotations if note.text in ("one", "other", "third")]
    pixels = (chart.layout.height - 95) / (2.0 - 1.0)
    at = sorted(note.y * pixels + note.yshift for note in ends)
    assert len(ends) == 3
    assert all(later - earlier >= 14 for earlier, later in pairwise(at))


def test_a_missing_or_infinite_value_is_a_gap() -> None:
    chart = figure(x="Round", y="Loss")
    line(chart, "server", [1, 2, 3], [1.0, None, float("inf")], 0)
    assert list(chart.data[0].y) == [1.0, None, None]


def test_a_strangers_name_in_a_chart_is_no_markup() -> None:
    shown = plain(HOSTILE)
    assert "<" not in shown
    assert ">" not in shown
    assert shown.startswith("&lt;img src=x")


def test_a_figure_travels_escaped_and_whole() -> None:
    value = carried("loss", figure(x="Round", y='a "quoted" <unit>'))
    assert "<unit>" not in value
    assert undrawn(value)["layout"]["annotations"][0]["text"] == 'a "quoted" <unit>'  # type: ignore[index]
    assert undrawn(carried("loss", None, "soon")) == {}
    assert 'data-empty="soon"' in carried("loss", None, "soon")


def test_another_release_of_plotly_has_another_address() -> None:
    assert version("plotly") in script_path()
