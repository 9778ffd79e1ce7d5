"""Pages escape what they are given and align numbers."""

from matplotlib.figure import Figure

from components.html_page import page, picture, section, table


def test_titles_and_cells_are_escaped() -> None:
    html = page("a < b", [section("x & y", table(("<h>",), [("<td>",)]))])
    assert "<h1>a &lt; b</h1>" in html and "<h2>x &amp; y</h2>" in html and "<td>&lt;td&gt;</td>" in html


def test_a_column_of_numbers_is_aligned_to_the_right() -> None:
    html = table(("name", "value"), [("a", 0.12345), ("b", None), ("c", "+0.5"), ("d", 91206464.0), ("e", 12345)])
    assert html.count("class=number") == 6
    assert all(f">{shown}<" in html for shown in ("0.1235", "+0.5", "91,206,464", "12,345"))


def test_a_column_with_words_is_not() -> None:
    assert "class=number" not in table(("verdict",), [("pass",), ("FAIL",)])


def test_the_same_figure_is_the_same_picture() -> None:
    def drawn() -> str:
        figure = Figure()
        figure.subplots().plot([1, 2, 3])
        return picture(figure, "a line")

    assert drawn() == drawn() and drawn().startswith('<div role="img" aria-label="a line"><svg')
