"""What can be proven of an exported file without the device that it is for."""
