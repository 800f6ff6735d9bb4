"""Fakes and shared test functions."""

import pytest

pytest.register_assert_rewrite("tests.fakes.contract")
