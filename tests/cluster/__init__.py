"""The files of cluster/, without a cloud: against the schemas of who reads them, and what their commands ask for."""
