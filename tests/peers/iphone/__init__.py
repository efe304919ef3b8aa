"""A stand-in iPhone on loopback: what usbmuxd and a phone's services say, as far as the real client asks.

It proves our side of the conversation, and nothing about iOS. The app on it is `peers/apple_runner.py`.
"""

from .phone import APP_ID, UDID, StandInPhone

__all__ = ["APP_ID", "UDID", "StandInPhone"]
