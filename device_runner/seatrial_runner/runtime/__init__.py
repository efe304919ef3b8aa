"""Runtimes: what executes an artifact on the device. One module each, named in `base.TABLE`."""
