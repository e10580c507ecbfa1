"""Nearest neighbours in compiled loops: a tree of boxes whose leaves are read as vectors.

A k-d tree is exact but slow in more than a few dimensions: in eight it must look at thousands of
points before it can rule out the rest. Here a leaf holds `_LEAF` points, coordinate by coordinate
in single precision, so that the processor computes their distances side by side. Only points that
may be near enough are then computed in double precision, which decides: the answer is exact. A
point of the query's own label is passed over, and so is a box that holds no other label.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from ..utils.jit import compiled

__all__ = ["NO_NEIGHBOR", "BoxTree"]

NO_NEIGHBOR = -1
_LEAF = 64
_QUERY_BATCH = 4096  # queries handed to a thread at a time
_MIXED = -1  # label of a box that holds several
_NO_LABEL = -2  # of a query that may see everyone
_SINGLE = 2.0**-24  # relative rounding of single precision


class BoxTree:
    """Points of one space, prepared for the search of neighbours.

    Parameters
    ----------
    points : ndarray of shape (n, d)
        Finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.box_tree import BoxTree
    >>> tree = BoxTree(np.array([[0.0], [1.0], [3.0]]))
    >>> tree.nearest(np.array([[2.5]]), 4)
    array([[ 2,  1,  0, -1]], dtype=int32)
    >>> tree.query_other_groups(np.array([0]), 1, labels=np.array([7, 7, 8]))
    array([[2]], dtype=int32)
    """

    def __init__(self, points: np.ndarray):
        self.points = np.ascontiguousarray(points, dtype=np.float64)
        n_points, n_dimensions = self.points.shape
        # Centred, because single precision is that of the largest number.
        self._center = self.points.mean(axis=0) if n_points else np.zeros(n_dimensions)
        self._order, self._children, self._ranges = _divide(self.points)
        self._placed = self.points[self._order] - self._center
        leaves = np.full((-(-n_points // _LEAF) * _LEAF, n_dimensions), np.inf, dtype=np.float32)
        leaves[:n_points] = self._placed
        leaves = leaves.reshape(-1, _LEAF, n_dimensions).transpose(0, 2, 1)
        self._leaves = np.ascontiguousarray(leaves)
        self._boxes = np.empty((len(self._children), 2, n_dimensions))
        _surround(self._placed, self._children, self._ranges, self._boxes)
        extent = np.abs(self._placed).max(initial=0.0)
        # What single precision can add to or take from a distance.
        self._blur = 4.0 * np.sqrt(n_dimensions) * _SINGLE * extent

    @property
    def rank(self) -> np.ndarray:
        """Places (n,) of the points, leaf by leaf: near ones follow one another."""
        place = np.empty(len(self.points), dtype=np.int32)
        place[self._order] = np.arange(len(self.points), dtype=np.int32)
        return place

    def nearest(
        self, queries: np.ndarray, k: int, *, eps: float = 0.0, workers: int = 1
    ) -> np.ndarray:
        """Return the nearest points of each query.

        Parameters
        ----------
        queries : ndarray of shape (m, d)
        k : int
        slack : float, default=0
            A box is passed over if it is not nearer than the k-th point found, by this share of
            its distance: no point is more than ``1 + eps`` times as far as the one that stands
            there in truth.
        workers : int, default=1
            Threads.

        Returns
        -------
        ndarray of shape (m, k) of int32
            Positions of points, nearest first; `NO_NEIGHBOR` where there are fewer. The list of a query
            does not depend on the others.
        """
        queries = np.ascontiguousarray(queries - self._center)
        leaf = np.empty(len(queries), dtype=np.int32)
        if len(self._children):
            _find_leaf(queries, self._children, self._boxes, leaf)
        # Queries side by side read the same leaves.
        order = np.argsort(leaf, kind="stable").astype(np.int32)
        return self._search(queries, order, k, None, eps, workers)

    def query_other_groups(
        self,
        rows: np.ndarray | None,
        k: int,
        labels: np.ndarray | None = None,
        *,
        eps: float = 0.0,
        workers: int = 1,
    ) -> np.ndarray:
        """Return the nearest points with another label of some of the points themselves.

        Parameters
        ----------
        rows : ndarray of shape (m,) of int or None
            Positions of the points that ask; None for all.
        k : int
        labels : ndarray of shape (n,) of int, default=None
            Not negative. None lets a point see all, itself included.
        slack, workers
            As of `nearest`.

        Returns
        -------
        ndarray of shape (m, k) of int32
        """
        if rows is None:
            queries, order = self.points - self._center, self._order
        else:
            queries = self.points[rows] - self._center
            order = np.argsort(self.rank[rows]).astype(np.int32)
        if labels is None:
            return self._search(queries, order, k, None, eps, workers)
        own = labels if rows is None else labels[rows]
        return self._search(queries, order, k, (labels, own), eps, workers)

    def _search(
        self,
        queries: np.ndarray,
        order: np.ndarray,
        k: int,
        labels: tuple[np.ndarray, np.ndarray] | None,
        eps: float,
        workers: int,
    ) -> np.ndarray:
        """Answer centred queries in an order in which neighbours follow one another."""
        lists = np.full((len(queries), k), NO_NEIGHBOR, dtype=np.int32)
        if len(self.points) == 0 or len(queries) == 0:
            return lists
        if labels is None:
            label = np.empty(0, dtype=np.int32)
            own = np.full(len(queries), _NO_LABEL, dtype=np.int32)
            of_box = np.full(len(self._children), _MIXED, dtype=np.int32)
        else:
            label = labels[0][self._order].astype(np.int32)
            own = labels[1].astype(np.int32)
            of_box = np.empty(len(self._children), dtype=np.int32)
            _name_boxes(label, self._children, self._ranges, of_box)
        answer = partial(
            _answer,
            self._children,
            self._ranges,
            self._boxes,
            self._leaves,
            self._placed,
            self._order,
            label,
            of_box,
            queries,
            own,
            lists,
            (1.0 + eps) ** 2,
            self._blur,
        )
        batches = [
            order[start : start + _QUERY_BATCH] for start in range(0, len(order), _QUERY_BATCH)
        ]
        if workers == 1 or len(batches) == 1:
            for batch in batches:
                answer(batch)
        else:
            with ThreadPoolExecutor(workers) as threads:
                list(threads.map(answer, batches))
        return lists


def _divide(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide points in halves along their longest side, down to full leaves.

    Returns
    -------
    order : ndarray of shape (n,) of int32
        Points leaf by leaf.
    children : ndarray of shape (b, 2) of int32
        Boxes in which each box is divided, always later ones; -1 for leaves.
    ranges : ndarray of shape (b, 2) of int32
        First and last but one point of each box, in that order.
    """
    order = np.arange(len(points), dtype=np.int32)
    children: list[list[int]] = [[-1, -1]] if len(points) else []
    ranges = [(0, len(points))] if len(points) else []
    box = 0
    while box < len(ranges):
        start, end = ranges[box]
        n_leaves = -(-(end - start) // _LEAF)
        if n_leaves > 1:
            inside = order[start:end]
            side = points[inside]
            longest = np.argmax(side.max(axis=0) - side.min(axis=0))
            # Whole leaves to the left, so that only the last leaf of all is not full.
            half = n_leaves // 2 * _LEAF
            order[start:end] = inside[np.argpartition(side[:, longest], half)]
            children[box] = [len(ranges), len(ranges) + 1]
            children += [[-1, -1], [-1, -1]]
            ranges += [(start, start + half), (start + half, end)]
        box += 1
    return (
        order,
        np.array(children, dtype=np.int32).reshape(-1, 2),
        np.array(ranges, dtype=np.int32).reshape(-1, 2),
    )


@compiled
def _surround(placed, children, ranges, boxes):
    """Write the lower and upper corner of each box, from the leaves up."""
    n_dimensions = placed.shape[1]
    for box in range(len(children) - 1, -1, -1):
        for d in range(n_dimensions):
            low, high = np.inf, -np.inf
            if children[box, 0] < 0:
                for p in range(ranges[box, 0], ranges[box, 1]):
                    low, high = min(low, placed[p, d]), max(high, placed[p, d])
            else:
                for child in children[box]:
                    low, high = min(low, boxes[child, 0, d]), max(high, boxes[child, 1, d])
            boxes[box, 0, d], boxes[box, 1, d] = low, high


@compiled
def _name_boxes(label, children, ranges, of_box):
    """Write the label of the boxes that hold one label only, from the leaves up."""
    for box in range(len(children) - 1, -1, -1):
        if children[box, 0] < 0:
            name = label[ranges[box, 0]]
            for p in range(ranges[box, 0], ranges[box, 1]):
                if label[p] != name:
                    name = _MIXED
                    break
        else:
            name = of_box[children[box, 0]]
            if of_box[children[box, 1]] != name:
                name = _MIXED
        of_box[box] = name


@compiled
def _far(box, query):
    """Return the squared distance from a query to a box."""
    total = 0.0
    for d in range(len(query)):
        out = max(box[0, d] - query[d], query[d] - box[1, d], 0.0)
        total += out * out
    return total


@compiled
def _find_leaf(queries, children, boxes, leaf):
    """Write the leaf that each query comes to when it always takes the nearer box."""
    for r in range(len(queries)):
        box = 0
        while children[box, 0] >= 0:
            left, right = children[box, 0], children[box, 1]
            nearer = _far(boxes[left], queries[r]) <= _far(boxes[right], queries[r])
            box = left if nearer else right
        leaf[r] = box


@compiled
def _gate(bound, blur, n_dimensions):
    """Return the squared distance in single precision beyond which a point is surely too far."""
    reach = np.sqrt(bound) * (1.0 + (4 + 2 * n_dimensions) * _SINGLE) + blur
    return np.float32(reach * reach)


@compiled
def _answer(
    children,  # (b, 2)
    ranges,  # (b, 2)
    boxes,  # (b, 2, d), corners
    leaves,  # (n / leaf, d, leaf) in single precision
    placed,  # (n, d), points leaf by leaf
    order,  # (n,), their positions
    label,  # (n,) leaf by leaf, empty if nobody is passed over
    of_box,  # (b,), `_MIXED` where there are several
    queries,  # (m, d)
    own,  # (m,)
    lists,  # out: (m, k)
    stretch,  # of squared distances to boxes: one is exact
    blur,
    rows,  # of queries
):
    """Write the lists of some queries."""
    n_dimensions, k = queries.shape[1], lists.shape[1]
    labelled = len(label) > 0
    waiting = np.empty(64, np.int32)  # boxes to look at: at most one for each level of the tree
    distance = np.empty(64, np.float64)
    sums = np.empty(_LEAF, np.float32)
    nearest = np.empty(k, np.float64)
    found = np.empty(k, np.int32)
    for r in rows:
        query = queries[r]
        nearest[:] = np.inf
        found[:] = NO_NEIGHBOR
        bound, gate = np.inf, np.float32(np.inf)
        n_waiting = 1
        waiting[0], distance[0] = 0, 0.0
        while n_waiting > 0:
            n_waiting -= 1
            box = waiting[n_waiting]
            if distance[n_waiting] * stretch >= bound or of_box[box] == own[r]:
                continue
            # Down to the nearest leaf; the other halves wait.
            while children[box, 0] >= 0:
                box, other = children[box, 0], children[box, 1]
                here, there = _far(boxes[box], query), _far(boxes[other], query)
                if there < here:
                    box, other, here, there = other, box, there, here
                if of_box[box] == own[r]:
                    box, other, here, there = other, box, there, np.inf
                if there * stretch < bound and of_box[other] != own[r]:
                    waiting[n_waiting], distance[n_waiting] = other, there
                    n_waiting += 1
                if here * stretch >= bound:
                    box = -1
                    break
            if box < 0:
                continue
            start = ranges[box, 0]
            leaf = leaves[start // _LEAF]
            sums[:] = 0.0
            for d in range(n_dimensions):
                at = np.float32(query[d])
                for p in range(_LEAF):
                    gap = leaf[d, p] - at
                    sums[p] += gap * gap
            for p in range(ranges[box, 1] - start):
                if sums[p] > gate or (labelled and label[start + p] == own[r]):
                    continue
                exact = 0.0
                for d in range(n_dimensions):
                    gap64 = placed[start + p, d] - query[d]
                    exact += gap64 * gap64
                if exact >= bound:
                    continue
                i = k - 1
                while i > 0 and nearest[i - 1] > exact:
                    nearest[i], found[i] = nearest[i - 1], found[i - 1]
                    i -= 1
                nearest[i], found[i] = exact, order[start + p]
                bound = nearest[k - 1]
                gate = _gate(bound, blur, n_dimensions)
        lists[r] = found
