"""Model breadcrumbs: drop the largest elements of task vectors and the smallest (Davari & Belilovsky 2023, arXiv
2312.06795).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rl_reason.merging.methods.method import F32, Parameter, Passes
from rl_reason.merging.methods.selection import keep
from rl_reason.merging.methods.task_vectors import Place, TaskVectors
from rl_reason.merging.methods.ties import Cut, cut


def breadcrumbs(delta: F32, density: float, gamma: float) -> F32:
    """The `density` share of elements that is left without the `gamma` share of the largest and the rest of the
    smallest ones; the others 0 (paper §3).
    """
    given = {"density": density, "gamma": gamma}
    measured = Breadcrumbs().measure(lambda: [delta.copy()], delta.size, given)
    return Breadcrumbs().thin(delta.copy(), Place(0, 0, 0, rescale=False), given, measured)


class Breadcrumbs:
    """`breadcrumbs`, by blocks."""

    parameters: Mapping[str, Parameter] = {
        "density": Parameter("share of the task vector's elements that is kept", 1.0, 0, 1),
        "gamma": Parameter("share of the largest elements that is dropped", 0.01, 0, 1),
    }

    def measure(self, passes: Passes, size: int, given: Mapping[str, float]) -> tuple[Cut | None, Cut | None]:
        """The cuts of what is kept with the largest, and of the largest; None for no cut."""
        dropped = int(given["gamma"] * size)
        kept = min(size, dropped + int(given["density"] * size))
        return (
            cut(passes, size, kept) if 0 < kept < size else None,
            cut(passes, size, dropped) if 0 < dropped < size else None,
        )

    def thin(self, delta: F32, place: Place, given: Mapping[str, float], measured: object) -> F32:
        """One block of it."""
        assert isinstance(measured, tuple)
        magnitudes = np.abs(delta)
        for number, one in enumerate(measured):
            if one is not None:
                inside = keep(magnitudes, one.threshold, one.equals_before[place.start])
                delta *= ~inside if number else inside
        return delta


BREADCRUMBS = TaskVectors("breadcrumbs", Breadcrumbs(), elect=False, normalize=False)
BREADCRUMBS_TIES = TaskVectors("breadcrumbs_ties", Breadcrumbs(), elect=True, normalize=False)
