"""Measurements and studies; none of it is imported by the package."""
