"""Events that a replica publishes: predictions, ground truth, its own status."""
