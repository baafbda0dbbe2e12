"""KFP pipelines and their compiled golden YAML."""
