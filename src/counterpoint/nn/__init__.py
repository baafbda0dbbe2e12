"""Layers that know no task: inputs, convolutions, encoders, experts, heads."""
