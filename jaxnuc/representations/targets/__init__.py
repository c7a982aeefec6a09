"""Target maps that representations make of instances; NumPy."""
