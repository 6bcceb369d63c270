"""The service's side of a training: a job under a lease, and the process that it watches."""
