"""Columns of X with a role of an estimator, and its roles in a table with some columns left out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline

from ..table.coordinate_columns import coordinate_labels, find_column
from ..table.geo_frames import GEOMETRY_LABELS
from ..table.image_columns import ImageColumn

__all__ = ["RoleColumns", "estimator_with_roles"]

_SINGLE_ROLES = ("time", "elevation", "site")


def estimator_with_roles(estimator: Any) -> Any | None:
    """Return the estimator with column roles inside Pipelines, searches and other wrappers.

    Parameters
    ----------
    estimator : estimator
        It need not be fitted.

    Returns
    -------
    estimator or None
        The outermost estimator with a parameter `coordinates`.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from sptgnn_sklearn import XGBoostBaseline
    >>> from sptgnn_sklearn.model_selection.role_columns import estimator_with_roles
    >>> model = make_pipeline("passthrough", XGBoostBaseline(time="date"))
    >>> estimator_with_roles(GridSearchCV(model, {})).time
    'date'
    """
    while estimator is not None:
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif not hasattr(estimator, "get_params"):
            return None
        else:
            parameters = estimator.get_params(deep=False)
            if "coordinates" in parameters:
                return estimator
            # Of a TransformedTargetRegressor, or of searches and other meta-estimators.
            estimator = parameters.get("regressor", parameters.get("estimator"))
    return None


@dataclass(frozen=True)
class RoleColumns:
    """Columns of X that have a role of an estimator.

    Attributes
    ----------
    labels : tuple of labels
        All columns of X.
    named : bool
        Whether X is a DataFrame; columns of an array are labeled by position.
    roles : dict of str to label, tuple of labels or dict of str to label
        Roles of the estimator as given, by parameter; coordinates that are not given are not in it.
    positions : tuple of int
        Positions of the columns with a role, in the order of X.
    """

    labels: tuple[Hashable, ...]
    named: bool
    roles: dict[str, Any]
    positions: tuple[int, ...]

    @classmethod
    def find(cls, estimator: Any, frame: pd.DataFrame, named: bool) -> RoleColumns:
        """Find the columns of X with a role.

        Parameters
        ----------
        estimator : estimator
            Optionally inside Pipelines, searches and other wrappers.
        frame : DataFrame of shape (n_samples, n_features)
        named : bool

        Raises
        ------
        ValueError
            If a role names a column that does not exist.

        Examples
        --------
        >>> import pandas as pd
        >>> from sptgnn_sklearn import XGBoostBaseline
        >>> from sptgnn_sklearn.model_selection.role_columns import RoleColumns
        >>> X = pd.DataFrame({"clay": [0.1], "lon": [5.0], "lat": [52.0], "rain": [700.0]})
        >>> RoleColumns.find(XGBoostBaseline(elevation="rain"), X, named=True).positions
        (1, 2, 3)
        """
        inner = estimator_with_roles(estimator)
        labels = tuple(frame.columns)
        if inner is None:
            return cls(labels, named, {}, ())
        roles = _given_roles(inner)
        found = {
            find_column(frame, label, role)
            for role, value in roles.items()
            for label in _role_labels(value)
        }
        if "coordinates" not in roles:
            found |= set(coordinate_labels(frame, None, stacklevel=6))
        # Points that are not the coordinates are no covariates either.
        found |= {label for label in GEOMETRY_LABELS if label in labels}
        return cls(labels, named, roles, tuple(i for i, x in enumerate(labels) if x in found))

    def set_roles(self, estimator: Any, columns: Sequence[int]) -> Any:
        """Set the roles that name columns by position to their positions among fewer columns.

        Parameters
        ----------
        estimator : estimator
            Clone of the estimator of `find`; it is changed.
        columns : sequence of int
            Positions in X of the columns that are left, including all with a role.

        Returns
        -------
        estimator
            The same estimator.
        """
        inner: Any = estimator_with_roles(estimator)
        changed = {role: self._move(value, columns) for role, value in self.roles.items()}
        for role, value in changed.items():
            if value == self.roles[role]:
                continue
            if role == "images" and hasattr(inner.images, "columns"):  # TerraMindImages
                inner.images.set_params(columns=value)
            else:
                inner.set_params(**{role: value})
        return estimator

    def _move(self, value: Any, columns: Sequence[int]) -> Any:
        """Return the value of a role for the table of the given columns."""
        if isinstance(value, Mapping):
            return {name: self._move(label, columns) for name, label in value.items()}
        if isinstance(value, tuple):
            return tuple(self._move(label, columns) for label in value)
        if isinstance(value, ImageColumn):
            return replace(value, column=self._move(value.column, columns))
        if self.named and value in self.labels:
            return value
        position = range(len(self.labels))[value]
        # Among labels that are numbers, a position could be mistaken for one of them.
        if self.named and any(isinstance(label, int) for label in self.labels):
            return self.labels[position]
        return list(columns).index(position)


def _given_roles(estimator: Any) -> dict[str, Any]:
    """Return the roles that an estimator names, as labels, tuples and dicts of labels."""
    roles: dict[str, Any] = {}
    for role in ("coordinates", "spectral"):
        value = getattr(estimator, role, None)
        if value is not None and not isinstance(value, str):  # a kind of similarity
            roles[role] = tuple(value)
    for role in _SINGLE_ROLES:
        if getattr(estimator, role, None) is not None:
            roles[role] = getattr(estimator, role)
    images = getattr(estimator, "images", None)
    if images is not None:
        roles["images"] = dict(getattr(images, "columns", images))
    return roles


def _role_labels(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [label for entry in value.values() for label in _role_labels(entry)]
    if isinstance(value, tuple):
        return list(value)
    return [value.column if isinstance(value, ImageColumn) else value]
