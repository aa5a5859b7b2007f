"""Tests of bars: by hand, against plain definitions, and a second way in SQL."""
