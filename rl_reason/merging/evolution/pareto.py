"""Ordering by several objectives: NSGA-II's fronts and crowding distance (Deb et al. 2002, §III). All are minimised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl_reason.merging.evolution.candidate import F64


def fronts(points: F64) -> list[list[int]]:
    """Indices of [n, objectives], front by front: the first is dominated by none, the next by the first alone, ….

    a dominates b: a is nowhere worse and somewhere better.
    """
    no_worse = (points[:, None, :] <= points[None, :, :]).all(-1)
    better = (points[:, None, :] < points[None, :, :]).any(-1)
    dominates = no_worse & better
    left = np.ones(len(points), dtype=bool)
    found: list[list[int]] = []
    while left.any():
        front = left & ~(dominates & left[:, None]).any(0)
        found.append(np.flatnonzero(front).tolist())
        left &= ~front
    return found


def crowding(points: F64) -> F64:
    """[n]: how far each point's neighbours on both sides are from each other, summed over objectives, each divided by
    its range. Infinite at the ends.
    """
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        width = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if width > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / width
    return distance


def ranks(points: Sequence[Sequence[float]]) -> list[float]:
    """Place of each point, from 0: by front, within a front the less crowded first, then in the given order."""
    array = np.asarray(points, dtype=np.float64)
    place = [0.0] * len(array)
    at = 0
    for front in fronts(array):
        for number in np.argsort(-crowding(array[front]), kind="stable"):
            place[front[number]] = float(at)
            at += 1
    return place


def undominated(points: Sequence[tuple[float, float]]) -> list[int]:
    """The first front of points with two objectives, by the first one; of equal points the earliest. n log n."""
    found: list[int] = []
    for number in sorted(range(len(points)), key=lambda k: (points[k], k)):
        if not found or points[number][1] < points[found[-1]][1]:
            found.append(number)
    return found
