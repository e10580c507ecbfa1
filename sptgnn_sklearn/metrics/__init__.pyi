from .accuracy import bias, concordance_correlation, rpiq
from .coverage import coverage_by_group
from .mixtures import (
    calibration_error_of_levels,
    crps_mixture,
    log_score_mixture,
    probability_integral_transform,
)
from .moran import (
    expected_morans_i,
    make_residual_morans_i_scorer,
    morans_i,
    neg_abs_residual_morans_i_scorer,
    residual_morans_i,
)
from .quantiles import calibration_error_of_quantiles, crps_of_quantiles
from .scorers import (
    concordance_correlation_scorer,
    make_interval_coverage_scorer,
    make_interval_score_scorer,
    make_tail_coverage_scorer,
    neg_calibration_error_scorer,
    neg_crps_scorer,
    rpiq_scorer,
)
from .uncertainty import (
    crps_gaussian,
    expected_calibration_error,
    interval_coverage,
    interval_score,
    reliability_curve,
    tail_coverage,
)

__all__ = [
    "bias",
    "calibration_error_of_levels",
    "calibration_error_of_quantiles",
    "concordance_correlation",
    "concordance_correlation_scorer",
    "coverage_by_group",
    "crps_gaussian",
    "crps_mixture",
    "crps_of_quantiles",
    "expected_calibration_error",
    "expected_morans_i",
    "interval_coverage",
    "interval_score",
    "log_score_mixture",
    "make_interval_coverage_scorer",
    "make_interval_score_scorer",
    "make_residual_morans_i_scorer",
    "make_tail_coverage_scorer",
    "morans_i",
    "neg_abs_residual_morans_i_scorer",
    "neg_calibration_error_scorer",
    "neg_crps_scorer",
    "probability_integral_transform",
    "reliability_curve",
    "residual_morans_i",
    "rpiq",
    "rpiq_scorer",
    "tail_coverage",
]
