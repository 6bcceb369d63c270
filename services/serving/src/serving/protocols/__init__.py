"""What clients speak: each module reads its requests and writes its answers and errors; all ask the same models."""
