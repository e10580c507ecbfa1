"""Input columns of a fitted regressor, and their roles."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from ..meta_estimators import innermost_estimator
from ..spatial.crs import SpatialReference, resolve_crs, same_crs
from ..table.infer_roles import find_coordinate_pair
from ..table.schema import TableSchema

__all__ = ["ModelInputs", "fitted_columns", "inspect_inputs"]


@dataclass(frozen=True)
class ModelInputs:
    """The columns of X of a fitted regressor.

    Attributes
    ----------
    labels : tuple of labels
        In the order of fit; positions if it was fitted without names.
    named : bool
        Whether the labels are feature names, which scikit-learn compares.
    coordinates : pair of labels or None
        Coordinate columns; None if there are none or they are unknown.
    reference : SpatialReference or None
        That of the coordinates.
    time : label or None
    images : tuple of labels
        Columns of chip paths.
    levels : dict of label to tuple of str
        Levels of the categorical columns.
    optional : frozenset of labels
        Columns that may be missing: constant in training, site identifiers, campaigns, or standard
        deviations of measurement errors, without which values without error are predicted.
    allows_missing : bool
        Whether covariates may be missing.
    chip_size : int or None
        Height and width of the chips in pixels.
    on_sphere : bool
        Whether longitudes that differ by 360 are the same for the regressor.
    """

    labels: tuple[Hashable, ...]
    named: bool
    coordinates: tuple[Hashable, Hashable] | None = None
    reference: SpatialReference | None = None
    time: Hashable | None = None
    images: tuple[Hashable, ...] = ()
    levels: dict[Hashable, tuple[str, ...]] = field(default_factory=dict)
    optional: frozenset[Hashable] = frozenset()
    allows_missing: bool = False
    chip_size: int | None = None
    on_sphere: bool = False

    def with_coordinates(self, coordinates: Sequence[Hashable] | None, crs: Any) -> ModelInputs:
        """Return a copy with the coordinate columns and the CRS given by the caller.

        Raises
        ------
        ValueError
            If they contradict those of the regressor, or are not among its columns.
        """
        inputs = self
        if coordinates is not None:
            pair = _check_pair(self, coordinates)
            if self.reference is not None and pair != self.coordinates:
                raise ValueError(
                    f"coordinates={tuple(coordinates)!r}, but the estimator was fitted with the "
                    f"coordinates {self.coordinates}."
                )
            inputs = replace(inputs, coordinates=pair)
        if crs is None:
            return inputs
        if inputs.coordinates is None:
            raise ValueError(
                f"crs={crs!r} is the CRS of the estimator's coordinates, and none of its columns "
                f"{list(self.labels)[:20]} are known as coordinates: pass coordinates as well."
            )
        reference = resolve_crs(crs, [])
        known = inputs.reference
        if (
            known is not None
            and known.crs is not None
            and reference.crs is not None
            and not same_crs(known.crs, reference.crs)
        ):
            raise ValueError(
                f"crs={crs!r}, but the estimator was fitted with coordinates in {known.crs[:60]}. "
                "crs is the CRS of the estimator's coordinates; set that of a raster with "
                "dataset.rio.write_crs."
            )
        return replace(inputs, reference=reference)

    def to_model_input(self, frame: pd.DataFrame) -> Any:
        """Return the columns in the order of fit; without names as an array."""
        frame = frame[list(self.labels)]
        return frame if self.named else frame.to_numpy()


def inspect_inputs(estimator: Any) -> ModelInputs:
    """Return the input columns of a fitted regressor.

    Parameters
    ----------
    estimator : fitted regressor
        `SpTGNNRegressor`, `XGBoostBaseline` or any of scikit-learn, alone or inside Pipelines,
        searches and TransformedTargetRegressors. The first two store the roles of their columns;
        coordinates of others are inferred from their names.

    Raises
    ------
    ValueError
        If it has neither feature names nor their number.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LinearRegression
    >>> from sptgnn_sklearn.maps.model_inputs import inspect_inputs
    >>> X = pd.DataFrame({"lon": [5.0, 6.0], "lat": [52.0, 53.0], "clay": [0.1, 0.3]})
    >>> inspect_inputs(LinearRegression().fit(X, [1.0, 2.0])).coordinates
    ('lon', 'lat')
    """
    check_is_fitted(estimator)
    inner = innermost_estimator(estimator)
    schema = getattr(inner, "columns_", None)
    labels = fitted_columns(estimator)
    if labels is None and isinstance(schema, TableSchema) and inner is estimator:
        labels = list(schema.labels)
    named = labels is not None and all(isinstance(label, str) for label in labels)
    if labels is None:
        if not hasattr(estimator, "n_features_in_"):
            raise ValueError(
                f"{type(estimator).__name__} has neither feature_names_in_ nor n_features_in_: "
                "fit it on a DataFrame."
            )
        labels = list(range(estimator.n_features_in_))
    inputs = ModelInputs(tuple(labels), named, allows_missing=_allows_missing(estimator))
    if isinstance(schema, TableSchema):
        return _with_roles(inputs, schema, inner)
    pair = find_coordinate_pair(pd.DataFrame(columns=labels)) if named else None
    if pair is None:
        return inputs
    reference = resolve_crs(None, pair)
    return replace(inputs, coordinates=pair, reference=reference if reference.crs else None)


def fitted_columns(estimator: Any) -> list[Hashable] | None:
    """Return the names of the columns that an estimator was fitted with; None without names."""
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if hasattr(step, "fit")]
        return next((names for step in steps if (names := fitted_columns(step)) is not None), None)
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        return list(names)
    for attribute in ("best_estimator_", "regressor_"):
        if hasattr(estimator, attribute):
            return fitted_columns(getattr(estimator, attribute))
    return None


def _with_roles(inputs: ModelInputs, schema: TableSchema, inner: Any) -> ModelInputs:
    """Add the inner regressor's roles of the columns that the outermost estimator has too."""
    outer = set(inputs.labels)
    pair = schema.coordinates if set(schema.coordinates) <= outer else None
    embedder = getattr(inner, "embedder_", None)
    unused = {*schema.ignored, schema.site, schema.noise_std, schema.campaign} - {None}
    return replace(
        inputs,
        coordinates=pair,
        reference=schema.reference if pair else None,
        on_sphere=bool(pair) and schema.reference.geographic,
        time=schema.time if schema.time in outer else None,
        images=tuple(label for label in schema.images.values() if label in outer),
        levels={label: levels for label, levels in schema.categorical.items() if label in outer},
        optional=frozenset(unused & outer),
        chip_size=None if embedder is None else embedder.chip_loader.chip_size,
    )


def _allows_missing(estimator: Any) -> bool:
    """Return whether the first step that transforms or predicts accepts NaN."""
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if hasattr(step, "fit")]
        return _allows_missing(steps[0])
    for attribute in ("best_estimator_", "regressor_"):
        if hasattr(estimator, attribute):
            return _allows_missing(getattr(estimator, attribute))
    # The tag of this package's estimators is False for coordinates alone, which cells always have.
    if isinstance(getattr(estimator, "columns_", None), TableSchema):
        return True
    return bool(get_tags(estimator).input_tags.allow_nan)


def _check_pair(inputs: ModelInputs, coordinates: Sequence[Hashable]) -> tuple[Hashable, Hashable]:
    pair = tuple(coordinates)
    if len(pair) != 2 or not set(pair) <= set(inputs.labels) or pair[0] == pair[1]:
        raise ValueError(
            f"coordinates={pair!r} must name two columns of the estimator, which are "
            f"{list(inputs.labels)[:20]}."
        )
    return pair[0], pair[1]
