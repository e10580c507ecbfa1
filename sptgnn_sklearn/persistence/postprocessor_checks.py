"""Checks of blend, calibration and correlogram that were read from a model file."""

from __future__ import annotations

from typing import Any

from ..ensemble.base_models import BaseInputs
from ..uncertainty.blending import Blend
from ..uncertainty.calibration import Calibration
from ..uncertainty.campaigns import CampaignShifts
from ..uncertainty.error_correlogram import ErrorCorrelogram
from ..uncertainty.local_scale import (
    COLUMN_PREFIX,
    SPACES,
    ErrorSmoother,
    LocalScale,
    SmoothingSpace,
)
from ..uncertainty.postprocessing import Postprocessor
from .checks import has_text_keys, is_array, is_flag, is_number, require

__all__ = ["check_campaigns", "check_local_scale", "check_postprocessor"]

_N_SHAPE_SCORES = 121
_SUM_ROUNDING = 1e-9  # of the sum of weights
_MAX_SMOOTHERS = 16
_MOST_CENTERS = 1000


def check_postprocessor(found: Any) -> None:
    """Raise a FileError if blend, calibration or correlogram of a file are out of range."""
    require(isinstance(found, Postprocessor), "The postprocessor is missing")
    for blend in (found.blend, found.network_only):
        require(
            isinstance(blend, Blend)
            and isinstance(blend.weights, tuple)  # type: ignore[redundant-expr]
            and len(blend.weights) > 0
            and all(is_number(weight, 0.0, 1.0) for weight in blend.weights)
            and abs(sum(blend.weights) - 1) < _SUM_ROUNDING
            and is_number(blend.shrinkage, 0.0, 1.0),
            "The blend is out of range",
        )
    calibration, limits = found.calibration, None
    require(isinstance(calibration, Calibration), "The calibration is missing")
    limits = calibration.log_distance_range
    require(
        is_number(calibration.log_factor, -10.0, 10.0)
        and is_number(calibration.slope, 0.0)
        and is_number(calibration.center)
        and isinstance(limits, tuple)
        and len(limits) == 2
        and all(map(is_number, limits))
        and limits[0] <= limits[1],
        "The calibration is out of range",
    )
    shape = calibration.shape
    require(
        shape is None or is_array(shape, "f8", (_N_SHAPE_SCORES,), finite=True),
        "The calibration has an invalid shape",
    )
    require(
        is_array(calibration.scores, "f8", (None,), finite=True),
        "The calibration has invalid scores",
    )
    correlation = found.correlation
    require(
        isinstance(correlation, ErrorCorrelogram)
        and is_number(correlation.share, 0.0, 1.0)
        and is_number(correlation.practical_range)
        and correlation.practical_range > 0
        and is_number(correlation.persistence, 0.0, 1.0)
        and is_number(correlation.time_range)
        and correlation.time_range > 0
        and is_number(correlation.year_share, 0.0, 1.0)
        and is_number(correlation.level_share, 0.0, 1.0)
        and is_flag(correlation.knows_time),
        "The correlogram is out of range",
    )
    shifts: Any = correlation.campaigns
    require(
        shifts is None
        or (isinstance(shifts, CampaignShifts) and is_number(shifts.share, 0.0, 1.0)),
        "The shifts of campaigns are out of range",
    )
    shares = correlation.share + correlation.year_share + correlation.campaign_share
    require(shares + correlation.level_share < 1 + _SUM_ROUNDING, "The correlogram is out of range")


def check_campaigns(shifts: Any, n_axes: int) -> None:
    """Raise a FileError if the shifts of campaigns do not fit the positions of rows."""
    if shifts is None:
        return
    require(
        is_array(shifts.keys, "u8", (None,))
        and len(shifts.keys) > 0
        and bool((shifts.keys > 0).all())
        and is_array(shifts.centers, "f8", (len(shifts.keys), n_axes + 1), finite=True)
        and is_array(shifts.scale, "f8", (n_axes + 1,), finite=True)
        and bool((shifts.scale >= 0).all()),
        "The campaigns are invalid",
    )


def check_local_scale(local: Any, row: BaseInputs) -> None:
    """Raise a FileError if a local calibration does not fit the inputs of a row."""
    if local is None:
        return
    require(
        isinstance(local, LocalScale)
        and has_text_keys(local.spaces)
        and isinstance(local.smoothers, tuple)  # type: ignore[redundant-expr]
        and len(local.smoothers) <= _MAX_SMOOTHERS,
        "The local calibration is out of range",
    )
    widths = dict(zip(SPACES, (row.positions.shape[1], row.covariates.shape[1], 1, 1), strict=True))
    for name, found in local.spaces.items():
        space: Any = found
        column = name.startswith(COLUMN_PREFIX)
        if column:
            position = name.removeprefix(COLUMN_PREFIX)
            valid = position.isdecimal() and int(position) < widths["covariates"]
            require(valid, "The local calibration has a space of no covariate")
        width = 1 if column else widths.get(name)
        valid = (
            isinstance(space, SmoothingSpace)
            and is_array(space.offset, "f8", (width,), finite=True)
            and is_array(space.axes, "f8", (None, width), finite=True)
            and is_array(space.centers, "f8", (None, len(space.axes)), finite=True)
            and 0 < len(space.axes) <= max(width or 0, 1)
            and 0 < len(space.centers) <= _MOST_CENTERS
            and is_array(space.count, "f8", (len(space.centers),), finite=True)
            and space.count.min() > 0
            and all(isinstance(limit, float) for limit in (space.low, space.high))
            and space.low <= space.high
        )
        require(bool(valid), "A space of the local calibration is out of range")
    for found in local.smoothers:
        smoother: Any = found
        valid = (
            isinstance(smoother, ErrorSmoother)
            and smoother.space in local.spaces
            and is_number(smoother.bandwidth)
            and smoother.bandwidth > 0
            and is_number(smoother.prior)
            and smoother.prior > 0
            and is_array(
                smoother.total, "f8", local.spaces[smoother.space].count.shape, finite=True
            )
            and smoother.total.min() >= 0
        )
        require(bool(valid), "A smoother of the local calibration is out of range")
