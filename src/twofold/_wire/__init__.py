"""HTTP as a client speaks it: written once, driven by threads or by an event loop."""
