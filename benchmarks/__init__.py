"""Measure halfwave beside the other libraries that compute the same functions: `python -m benchmarks --help`."""
