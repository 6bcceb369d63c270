"""A loaded model and its predictions: signature, rows, batches."""
