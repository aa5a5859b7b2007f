"""The ways that are compared: each turns segments into columns in memory, one set a table.

Every module here has `parse(segments)`, which is timed, and `store(parsed, output)`, which writes what came of it to
`output/<table>/*.parquet`, so that rows can be compared.
"""
