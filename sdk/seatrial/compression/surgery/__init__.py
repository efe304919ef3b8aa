"""Changes to a model that lose nothing, or little, and that runtimes want."""
