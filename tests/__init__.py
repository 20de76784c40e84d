"""The test suite: everything is parametrised over `halfwave.functions()`, which tell their roles, dtypes and bounds."""
