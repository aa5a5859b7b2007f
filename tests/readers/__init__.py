"""Tests of `etl_ray.readers`."""
