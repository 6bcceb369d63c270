"""Judging a version without a stack: nothing is recorded, published or promoted."""
