"""Data sets: schema, tables, splits, importers, the planted generator."""
