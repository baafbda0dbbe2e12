"""Great Expectations suites, and the graph facts that they judge."""
