"""MLflow: runs, the served model, versions and their promotion, receipts, lineage."""
