"""Models with real weights to try Seatrial with; they need the extra `demo`."""
