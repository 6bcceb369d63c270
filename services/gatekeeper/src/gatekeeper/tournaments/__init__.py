"""Tournaments: earlier versions compared with the champion on new golden rows."""
