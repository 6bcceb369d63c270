"""Static inspection of model files: none of their code is run."""
