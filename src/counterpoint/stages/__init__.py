"""The story, one file a stage, and the table that names them."""
