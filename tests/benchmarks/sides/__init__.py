"""The ways that are compared: each turns segments into the same three partitioned tables.

Every module here has `convert(segments, output)`, which writes `output/<table>/product_id=.../date=.../*.parquet`.
"""
