"""Load: requests sent to a server at a rate or by busy connections, and what came back, measured."""
