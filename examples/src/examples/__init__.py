"""Example recipes: flights and churn."""
