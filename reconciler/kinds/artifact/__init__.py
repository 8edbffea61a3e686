"""Artifacts: the files that a version needs, in the store under the names that runtimes are given."""
