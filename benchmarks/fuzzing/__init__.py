"""Requests that nobody would send, and what the answers to them must be."""
