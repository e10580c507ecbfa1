"""Fit the ensemble: cross-fitting folds, tabular base, graph, members, calibration."""
