"""Node features: what each stream of the network, and the base regressor, is given to read.

Everything is learned from training rows. Streams are float32 arrays of one row per sample:

covariates
    Numeric covariates mapped to a normal distribution, an indicator for those with gaps, one-hot
    categories.
position
    Fourier features of the local plane at several scales, so that both a trend across the survey
    and a patch within it can be learned.
time
    Season and trend; a row without a date says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import QuantileTransformer

from .columns import Columns, Table
from .geography import local_plane, metric_space, plane_origin

_CLIP = 3.0  # beyond three standard deviations a covariate says no more than "extreme"
_CYCLES = (0.5, 1.0, 2.0, 4.0)  # waves across the survey, the scales of the position stream
_MAX_LEVELS = 32  # rarer levels of a category share one column
_N_COMPONENTS = 8  # of the covariates, for spectral similarity
_ELEVATION_PULL = 0.5  # of position in the space of the elevation relation


@dataclass
class Features:
    """Maps from a `Table` to the inputs of the network, learned from the training rows.

    Use `Features.learn`, then `streams`, `spaces` and `tabular`.
    """

    columns: Columns
    quantiles: QuantileTransformer | None
    gaps: np.ndarray
    levels: list[np.ndarray]
    origin: np.ndarray
    centre: np.ndarray
    reach: float
    period: tuple[float, float] | None
    seasonal: bool
    components: PCA | None
    heights: tuple[float, float] | None

    @classmethod
    def learn(cls, columns: Columns, table: Table) -> Features:
        """Learn scales, levels and components from the training rows."""
        numeric = table.numeric
        quantiles = None
        if numeric.shape[1]:
            quantiles = QuantileTransformer(
                n_quantiles=min(1000, len(table)),
                output_distribution="normal",
                subsample=None,
            ).fit(numeric)
        origin = plane_origin(table.coordinates, columns.frame)
        plane = local_plane(table.coordinates, columns.frame, origin)
        dates = table.time[~np.isnan(table.time)] if table.time is not None else np.empty(0)
        features = cls(
            columns=columns,
            quantiles=quantiles,
            gaps=np.isnan(numeric).any(axis=0),
            levels=[_frequent_levels(codes) for codes in table.categories.T],
            origin=origin,
            centre=metric_space(table.coordinates, columns.frame).mean(axis=0),
            reach=float(np.sqrt((plane**2).sum(axis=1).mean())) or 1.0,
            period=(dates.mean(), dates.std() or 1.0) if len(dates) else None,
            seasonal=bool((dates % 1 > 0).any()),
            components=None,
            heights=_centre_scale(table.elevation),
        )
        spectral = features._spectral_inputs(table)
        if spectral.shape[1]:
            n_components = min(_N_COMPONENTS, *spectral.shape)
            features.components = PCA(n_components, svd_solver="full").fit(spectral)
        return features

    def streams(self, table: Table) -> dict[str, np.ndarray]:
        """Return the inputs of each stream, name to float32 array of shape (n, width)."""
        streams = {"covariates": self._covariates(table), "position": self._position(table)}
        if self.period is not None:
            streams["time"] = self._time(table)
        return {
            name: values.astype(np.float32) for name, values in streams.items() if values.size
        }

    def spaces(self, table: Table) -> dict[str, np.ndarray]:
        """Return the space of each relation, in which near means related.

        spatial is in km or CRS units, spectral in standard deviations of the covariates, elevation
        in standard deviations of elevation with a weak pull of position.
        """
        # Centred, so that single precision keeps metres in coordinates of millions of metres.
        spaces = {"spatial": metric_space(table.coordinates, self.columns.frame) - self.centre}
        if self.components is not None:
            spaces["spectral"] = self.components.transform(self._spectral_inputs(table))
        if self.heights is not None:
            height = self.standard_elevation(table)[:, None]
            plane = local_plane(table.coordinates, self.columns.frame, self.origin) / self.reach
            spaces["elevation"] = np.hstack([height, _ELEVATION_PULL * np.sqrt(2) * plane])
        return spaces

    def standard_elevation(self, table: Table) -> np.ndarray:
        """Elevation in standard deviations of the training rows; unknown heights are average."""
        centre, scale = self.heights
        return np.nan_to_num((table.elevation - centre) / scale)

    def standard_time(self, table: Table) -> np.ndarray:
        """Time in standard deviations of the training dates; unknown dates are NaN."""
        centre, scale = self.period
        return (table.time - centre) / scale

    def tabular(self, table: Table) -> np.ndarray:
        """Return coordinates, covariates, one-hot categories and dates as one float matrix.

        Missing values stay NaN; this is what tree models are given.
        """
        parts = [table.coordinates, table.numeric, *self._one_hot(table)]
        if self.period is not None:
            parts.append(table.time[:, None])
            if self.seasonal:
                parts.append(table.time[:, None] % 1)
        return np.hstack(parts)

    def _covariates(self, table: Table) -> np.ndarray:
        parts = list(self._one_hot(table))
        if self.quantiles is not None:
            scaled = np.clip(self.quantiles.transform(table.numeric), -_CLIP, _CLIP)
            parts = [np.nan_to_num(scaled), np.isnan(table.numeric)[:, self.gaps], *parts]
        return np.hstack(parts) if parts else np.empty((len(table), 0))

    def _spectral_inputs(self, table: Table) -> np.ndarray:
        chosen = self.columns.spectral_positions
        if not chosen:
            return self._covariates(table)
        scaled = np.clip(self.quantiles.transform(table.numeric), -_CLIP, _CLIP)
        return np.nan_to_num(scaled[:, chosen])

    def _one_hot(self, table: Table) -> list[np.ndarray]:
        # Rare, unseen and missing levels have no column: all zeros is "none of the usual ones".
        return [
            (codes[:, None] == levels[None, :]).astype(np.float64)
            for codes, levels in zip(table.categories.T, self.levels, strict=True)
        ]

    def _position(self, table: Table) -> np.ndarray:
        plane = local_plane(table.coordinates, self.columns.frame, self.origin) / self.reach
        # The plane has unit root mean square radius, so the survey is about three units across.
        waves = 2 * np.pi / 3 * np.asarray(_CYCLES)[None, None, :] * plane[:, :, None]
        waves = waves.reshape(len(plane), -1)
        return np.hstack([np.clip(plane, -_CLIP, _CLIP), np.sin(waves), np.cos(waves)])

    def _time(self, table: Table) -> np.ndarray:
        trend = self.standard_time(table)
        unknown = np.isnan(trend)
        parts = [np.clip(np.nan_to_num(trend), -_CLIP, _CLIP), unknown.astype(float)]
        if self.seasonal:
            phase = 2 * np.pi * table.time
            parts += [f(n * phase) for n in (1, 2) for f in (np.sin, np.cos)]
        return np.nan_to_num(np.column_stack(parts))


def _frequent_levels(codes: np.ndarray) -> np.ndarray:
    levels, counts = np.unique(codes[codes >= 0], return_counts=True)
    return np.sort(levels[np.argsort(-counts, kind="stable")[:_MAX_LEVELS]])


def _centre_scale(values: np.ndarray | None) -> tuple[float, float] | None:
    if values is None:
        return None
    return float(np.nanmean(values)), float(np.nanstd(values)) or 1.0
