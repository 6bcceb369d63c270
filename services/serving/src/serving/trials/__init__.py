"""Requests of a model that has a rollout: divided between two versions, or predicted by both."""
