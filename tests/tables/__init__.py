"""Tests of the tables: their columns, their partitions, their errors."""
