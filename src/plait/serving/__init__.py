"""A trained model behind HTTP and WebSocket: files, tensors, and sessions that outlive it.

Each model has one thread that does what waits for it (`plait.serving.worker`); the event loop only reads, checks and
sends. The protocol of sessions stands in docs/serving.md.
"""
