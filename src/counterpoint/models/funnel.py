"""The funnel of a data set's tasks: conversion only after click."""

from collections.abc import Mapping

from counterpoint.data.schema import Task
from counterpoint.errors import UserError


def funnel_of(tasks: Mapping[str, Task], task: str) -> tuple[str, ...]:
    """The task and those above it among ``tasks``, the top first."""
    found = [task]
    while (parent := tasks[found[0]].parent) in tasks:
        assert parent is not None
        if parent in found:
            raise UserError(f"tasks.{task}: parent: {parent} is above itself; remove one parent")
        found.insert(0, parent)
    return tuple(found)
