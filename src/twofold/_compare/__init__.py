"""Both modes over the same rows: measured, and their answers compared."""
