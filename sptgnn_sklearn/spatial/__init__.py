"""Coordinate reference systems, distances, spatial blocks and random fields."""
