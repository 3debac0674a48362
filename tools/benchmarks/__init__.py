"""What `tools/benchmark.py` measures: one section a file, each with its own reference."""
