"""Tests of `etl_ray.storage`."""
