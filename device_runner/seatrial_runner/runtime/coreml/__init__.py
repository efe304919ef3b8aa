"""Core ML on Apple devices: the contract with the runner there, and the ways to reach it."""
