"""Benchmarks of accuracy, uncertainty, speed and memory on public tables and simulated surveys."""
