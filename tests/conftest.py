"""Shared set-up of the tests."""

from hypothesis import settings

# no test asserts a time: machines differ, and a first call loads libraries
settings.register_profile("prunekit", deadline=None, max_examples=60)
settings.load_profile("prunekit")
