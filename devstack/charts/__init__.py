"""Keeps what a chart says of its values in one place: values.yaml, with its comments, makes the schema and the README's table."""
