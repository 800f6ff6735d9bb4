"""Expectations: when runs must start, end or succeed, and the incidents that record what is late."""
