"""Graphs: construction without leaks, the store, sampling, message-passing operations."""
