"""Train several prediction tasks on one graph; prove that no task pays more than its margin."""

__version__ = "0.1.0"
