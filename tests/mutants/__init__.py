"""Seeded mutants: each protection is taken out once, and the test that watches it must go red."""
