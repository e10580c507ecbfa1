"""What columns a fitted regressor asks for, and what is known of each."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from ..meta_estimators import innermost_estimator
from ..spatial.crs import SpatialReference, resolve_crs
from ..table.infer_roles import usual_pair
from ..table.schema import TableSchema

__all__ = ["ModelInputs", "columns_seen", "inspect_inputs"]


@dataclass(frozen=True)
class ModelInputs:
    """The columns of X that a fitted regressor takes.

    Attributes
    ----------
    labels : tuple of labels
        In their order; positions where it was fitted without names.
    named : bool
        Whether they are names that it compares.
    coordinates : pair of labels or None
        Columns of coordinates; None where they are not known to be coordinates.
    frame : Frame or None
        Reference system of the coordinates.
    time : label or None
    images : tuple of labels
        Columns of paths of chips.
    levels : dict of label to tuple of str
        Levels of the categories.
    optional : frozenset of labels
        Columns that say nothing to the regressor: constant in training, or ids of sites.
    takes_gaps : bool
        Whether covariates may be missing.
    chip_size : int or None
        Pixels on a side of the chips that it looks at.
    """

    labels: tuple[Hashable, ...]
    named: bool
    coordinates: tuple[Hashable, Hashable] | None = None
    reference: SpatialReference | None = None
    time: Hashable | None = None
    images: tuple[Hashable, ...] = ()
    levels: dict[Hashable, tuple[str, ...]] = field(default_factory=dict)
    optional: frozenset[Hashable] = frozenset()
    takes_gaps: bool = False
    chip_size: int | None = None

    def given(self, coordinates: Sequence[Hashable] | None, crs: Any) -> ModelInputs:
        """Return the same with what the caller says of the coordinates.

        Raises
        ------
        ValueError
            If it contradicts what the regressor was fitted with, or names no columns of it.
        """
        found = self
        if coordinates is not None:
            pair = _coordinate_inputs(self, coordinates)
            if self.reference is not None and pair != self.coordinates:
                raise ValueError(
                    f"coordinates={tuple(coordinates)!r}, but the estimator was fitted with the "
                    f"coordinates {self.coordinates}."
                )
            found = replace(found, coordinates=pair)
        if crs is None:
            return found
        if found.coordinates is None:
            raise ValueError(
                f"crs={crs!r} is the system of the estimator's coordinates, and of its columns "
                f"{list(self.labels)[:20]} none are known as such: name them by coordinates."
            )
        frame = resolve_crs(crs, [])
        known = found.reference
        if known is not None and known.crs is not None and known != frame:
            raise ValueError(
                f"crs={crs!r}, but the estimator was fitted with coordinates in {known.crs[:60]}. "
                "It is the system of the estimator's coordinates; that of a raster is told by "
                "dataset.rio.write_crs."
            )
        return replace(found, reference=frame)

    def table(self, frame: pd.DataFrame) -> Any:
        """Return rows with all columns as the regressor takes them."""
        frame = frame[list(self.labels)]
        return frame if self.named else frame.to_numpy()


def inspect_inputs(estimator: Any) -> ModelInputs:
    """Read from a fitted regressor what columns it asks for.

    Parameters
    ----------
    estimator : fitted regressor
        `SpTGNNRegressor`, `XGBoostBaseline` or any of scikit-learn, itself or within Pipelines,
        searches and TransformedTargetRegressors. The first two know the roles of their columns;
        of others the coordinates are guessed by their names.

    Raises
    ------
    ValueError
        If it does not tell how many columns it was fitted with.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LinearRegression
    >>> from sptgnn_sklearn.maps.model_inputs import inspect_inputs
    >>> X = pd.DataFrame({"lon": [5.0, 6.0], "lat": [52.0, 53.0], "clay": [0.1, 0.3]})
    >>> expect(LinearRegression().fit(X, [1.0, 2.0])).coordinates
    ('lon', 'lat')
    """
    check_is_fitted(estimator)
    inner = innermost_estimator(estimator)
    roles = getattr(inner, "columns_", None)
    seen = columns_seen(estimator)
    if seen is None and isinstance(roles, TableSchema) and inner is estimator:
        seen = list(roles.labels)
    named = seen is not None and all(isinstance(label, str) for label in seen)
    if seen is None:
        if not hasattr(estimator, "n_features_in_"):
            raise ValueError(
                f"{type(estimator).__name__} does not tell what columns it was fitted with: fit it "
                "on a DataFrame."
            )
        seen = list(range(estimator.n_features_in_))
    found = ModelInputs(tuple(seen), named, takes_gaps=_takes_gaps(estimator))
    if isinstance(roles, TableSchema):
        return _with_roles(found, roles, inner)
    pair = usual_pair(pd.DataFrame(columns=seen)) if named else None
    if pair is None:
        return found
    frame = resolve_crs(None, pair)
    return replace(found, coordinates=pair, reference=frame if frame.crs else None)


def columns_seen(estimator: Any) -> list[Hashable] | None:
    """Return the names of the columns that an estimator was fitted with; None without names."""
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if hasattr(step, "fit")]
        return next((names for step in steps if (names := columns_seen(step)) is not None), None)
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        return list(names)
    for attribute in ("best_estimator_", "regressor_"):
        if hasattr(estimator, attribute):
            return columns_seen(getattr(estimator, attribute))
    return None


def _with_roles(found: ModelInputs, roles: TableSchema, inner: Any) -> ModelInputs:
    """Add what the inner regressor knows of those of its columns that the outermost one takes."""
    outer = set(found.labels)
    pair = roles.coordinates if set(roles.coordinates) <= outer else None
    embedder = getattr(inner, "embedder_", None)
    silent = {*roles.ignored, *(() if roles.site is None else (roles.site,))}
    return replace(
        found,
        coordinates=pair,
        reference=roles.reference if pair else None,
        time=roles.time if roles.time in outer else None,
        images=tuple(label for label in roles.images.values() if label in outer),
        levels={label: levels for label, levels in roles.categorical.items() if label in outer},
        optional=frozenset(silent & outer),
        chip_size=None if embedder is None else embedder.imagery.chip_size,
    )


def _takes_gaps(estimator: Any) -> bool:
    """Tell whether covariates may be missing, by the first step that does anything."""
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if hasattr(step, "fit")]
        return _takes_gaps(steps[0])
    for attribute in ("best_estimator_", "regressor_"):
        if hasattr(estimator, attribute):
            return _takes_gaps(getattr(estimator, attribute))
    # Our own say no for the sake of the coordinates only, which a grid always has.
    if isinstance(getattr(estimator, "columns_", None), TableSchema):
        return True
    return bool(get_tags(estimator).input_tags.allow_nan)


def _coordinate_inputs(
    found: ModelInputs, coordinates: Sequence[Hashable]
) -> tuple[Hashable, Hashable]:
    pair = tuple(coordinates)
    if len(pair) != 2 or not set(pair) <= set(found.labels) or pair[0] == pair[1]:
        raise ValueError(
            f"coordinates={pair!r} must name two columns of the estimator, which are "
            f"{list(found.labels)[:20]}."
        )
    return pair[0], pair[1]
