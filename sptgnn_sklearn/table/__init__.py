"""Parse a table X into typed arrays: column roles, checks, deduplication and features."""
