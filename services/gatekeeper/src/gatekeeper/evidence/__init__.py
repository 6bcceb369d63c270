"""Evidence of a verdict: the document, its files, and the serving artifact."""
