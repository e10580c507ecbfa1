"""Devices, batching, compilation and file helpers shared by the packages."""
