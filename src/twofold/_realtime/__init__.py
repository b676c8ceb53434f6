"""Real time: an answer in milliseconds, one request at a time, always on.

The road of one request: http (a protocol) -> Service.submit -> Batcher -> a Backend, which calls Runner.run.
"""
