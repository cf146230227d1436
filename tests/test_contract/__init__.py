"""Contracts; a package, as files of other folders have the same names."""
