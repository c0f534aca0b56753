"""Principal components of training rows, by whichever side of their matrix is shorter."""

from typing import TYPE_CHECKING

from pipeline.classifiers.base import Task

if TYPE_CHECKING:
    from sklearn.decomposition import PCA


def principal_components(task: Task, most: int) -> "PCA":
    """Return an unfitted exact PCA of at most `most` components.

    The covariance of D features takes D x D values, which is the shorter way only where there are
    at least as many rows. With fewer rows their singular value decomposition takes no more memory
    than the rows themselves.
    """
    from sklearn.decomposition import PCA

    solver = "covariance_eigh" if task.rows >= task.features else "full"
    return PCA(min(most, task.features, task.rows), svd_solver=solver)
