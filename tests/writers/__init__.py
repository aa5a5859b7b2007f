"""Tests of `etl_ray.writers`."""
