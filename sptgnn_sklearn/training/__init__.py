"""Batched training of the ensemble members with skorch."""
