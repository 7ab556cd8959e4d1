"""Sections of a page: from results to markup."""
