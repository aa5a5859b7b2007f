"""From inputs to Arrow batches."""
