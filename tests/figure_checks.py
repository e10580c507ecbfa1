"""Points, texts and overlaps of drawn figures."""

import matplotlib
import numpy as np
import pandas as pd


def random_locations(n=40, seed=0):
    """Return a table of random longitudes and latitudes."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"lon": rng.uniform(5, 15, n), "lat": rng.uniform(55, 65, n)})


def scatter_points(ax):
    """Return the positions of the points of all scatter plots of some axes."""
    offsets = [part.get_offsets() for part in ax.collections if hasattr(part, "get_sizes")]
    return np.concatenate([np.asarray(positions) for positions in offsets])


def legend_texts(ax):
    """Return the labels of the legend of some axes."""
    return [text.get_text() for text in ax.get_legend().get_texts()]


def overlapping_texts(figure):
    """Return pairs of visible texts that overlap on the canvas."""
    figure.canvas.draw()
    hidden = _tick_labels_outside_limits(figure)
    boxes = [
        (text.get_text(), text.get_window_extent().shrunk(0.98, 0.9))
        for text in figure.findobj(matplotlib.text.Text)
        if text.get_visible() and text.get_text().strip() and text not in hidden
    ]
    return [
        (first, second)
        for number, (first, box) in enumerate(boxes)
        for second, other in boxes[number + 1 :]
        if box.overlaps(other)
    ]


def _tick_labels_outside_limits(figure):
    """Return labels of ticks that exist but are not drawn."""
    labels = set()
    for ax in figure.findobj(matplotlib.axes.Axes):
        for axis in (ax.xaxis, ax.yaxis):
            lowest, highest = sorted(axis.get_view_interval())
            for tick in (*axis.majorTicks, *axis.minorTicks):
                if not lowest <= tick.get_loc() <= highest:
                    labels |= {tick.label1, tick.label2}
    return labels
