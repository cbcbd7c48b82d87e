"""Azure Files: the data plane over plain directories."""
