"""Programs that measure speed and memory; pytest does not run them (README.md says how to read them)."""
