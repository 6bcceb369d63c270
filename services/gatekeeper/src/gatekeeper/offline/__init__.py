"""Verification without the gatekeeper: of an exported audit trail, and of the exported evidence of a version."""
