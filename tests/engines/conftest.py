"""Contracts live in modules that are no test modules themselves; their assertions are to be told as well."""

import pytest

pytest.register_assert_rewrite("tests.engines.target_contract")
