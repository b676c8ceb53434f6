"""gRPC: the Open Inference Protocol and health checks, on a port of their own."""
