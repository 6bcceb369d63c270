"""The evidence of a version as files that verify without the gatekeeper's database, MLflow or a network."""
