"""What a Core ML package says and does, on any machine: read and executed without Apple hardware."""
