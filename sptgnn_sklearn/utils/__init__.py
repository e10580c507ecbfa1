"""Devices, row batches, compilation, parameter checks and files of plain values and arrays."""
