"""Backtest a promotion policy on a model's history: what it would have served, compared with the best possible."""
