"""Reports that a browser opens: one file each, that asks for nothing from outside."""
