"""Gates inside pytest: `pytest --seatrial-device NAME`, and the fixtures of `seatrial.testing.plugin`."""
