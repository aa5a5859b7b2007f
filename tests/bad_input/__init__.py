"""Input that fights back: every kind of bad line, file and storage, over the whole job."""
