"""The files that nuclei are written to: one file of this package per format."""
