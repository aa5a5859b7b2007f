"""Tests of the venues: whole rows of every table."""
