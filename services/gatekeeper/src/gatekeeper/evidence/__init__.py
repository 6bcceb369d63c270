"""What a verdict rests on: the document, its files, and the artifact for serving."""
