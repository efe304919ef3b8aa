"""The runner for Apple devices: a Swift package that is built on a Mac, and an app for iPhones. No Python in it."""

from pathlib import Path

SOURCES = Path(__file__).parent
APP_ID = "dev.seatrial.runner"
