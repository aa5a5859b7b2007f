"""Tests of the scanner and of the strict parser behind it."""
