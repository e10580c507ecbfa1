"""Blending, calibration, conformal intervals and correlated errors."""
