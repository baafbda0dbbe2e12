"""The negative-transfer test and what is reported beside it."""
