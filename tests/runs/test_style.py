import csv
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from jaxmaze.runs import palette, style


def test_places_are_kept_where_there_is_room_and_shared_where_there_is_none():
    assert style.spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert style.spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert style.spread([0.1, 0.48, 0.5, 0.52], 0.1) == pytest.approx([0.1, 0.4, 0.5, 0.6])
    pushed = style.spread([0.0, 0.05, 0.1, 0.3], 0.1)
    assert np.diff(pushed).min() >= 0.1 - 1e-12 and np.mean(pushed) == pytest.approx(0.45 / 4)
    assert style.spread([], 0.1) == []


def drawn():
    with style.styled():
        fig, ((axes,),) = style.new()
        axes.plot([0, 1], [0, 1])
        style.name_lines(axes, [style.Label("up", 1, "#0072b2"), style.Label("out", 9, "#000000")])
        style.caption(fig, "words " * 60)
    return fig


def test_a_figure_is_png_svg_and_csv_and_always_the_same(tmp_path):
    for name in "ab":
        style.save(
            drawn(), tmp_path / name / "x.png", style.Table(("a", "b"), [(1, None), ("é", 2)])
        )
    for suffix in ("png", "svg", "csv"):
        one, two = ((tmp_path / name / f"x.{suffix}").read_bytes() for name in "ab")
        assert one == two
    with Image.open(tmp_path / "a" / "x.png") as picture:
        assert picture.size == (1125, 675)
    tree = ET.parse(tmp_path / "a" / "x.svg")
    texts = ["".join(e.itertext()) for e in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "up" in " ".join(texts) and "out" in " ".join(texts)
    with (tmp_path / "a" / "x.csv").open() as file:
        assert list(csv.reader(file)) == [["a", "b"], ["1", ""], ["é", "2"]]


def test_names_stand_beside_the_plot_apart_and_the_caption_inside_the_figure():
    fig = drawn()
    fig.canvas.draw()
    renderer = fig.canvas.get_renderer()
    axes = fig.axes[0]
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert all(box.x0 > axes.bbox.x1 and box.x1 <= fig.bbox.x1 for box in boxes)
    low, high = sorted(boxes, key=lambda box: box.y0)
    assert low.y1 <= high.y0
    caption = fig._supxlabel.get_window_extent(renderer)
    assert caption.y0 >= 0 and caption.x1 <= fig.bbox.x1 and caption.y1 < axes.bbox.y0


def test_everyone_has_a_colour_that_can_be_read():
    def luminance(colour):
        linear = [
            x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4
            for x in (v / 255 for v in palette.rgb(colour))
        ]
        return np.dot([0.2126, 0.7152, 0.0722], linear)

    for colour in {*palette.COLOURS, *palette.KNOWN.values()}:
        assert 1.05 / (luminance(colour) + 0.05) > 3.5, colour  # WCAG, large text: 3
    card = luminance("#1d2126")  # of pages by night
    for colour in palette.ON_DARK:
        assert (luminance(colour) + 0.05) / (card + 0.05) > 6, colour
    assert len(set(palette.ON_DARK)) == len(palette.COLOURS)
    names = ["teacher", "clone", "mine", "pretrained", "yours"]
    found = palette.of(names)
    assert found[0] == "#000000" and len(set(found)) == 5
    assert found[1] == palette.of(["clone"])[0] and found[3] == palette.of(["pretrained"])[0]
    # Two of a kind: the first has its colour, the other neither that nor one of those beside it.
    for beside in ([], ["clone"], ["random", "from scratch"], ["dagger", "clone", "teacher"]):
        first, *others = palette.of(["fine-tuned", "fine-tuned", "fine-tuned", *beside])
        assert first == palette.KNOWN["fine-tuned"]
        assert len({first, *others}) == 3 + len(beside)
        assert others[2:] == [palette.KNOWN[who] for who in beside]
    assert palette.numbers(["teacher", "teacher"]) == [-1, 3]
    # The first gives way to a known one, and takes the place that the second would have had.
    assert palette.numbers(["mine", "yours", "pretrained"]) == [1, 2, 0]
    many = palette.numbers([str(i) for i in range(8)])
    assert many == [0, 1, 2, 3, 4, 5, 0, 1]
