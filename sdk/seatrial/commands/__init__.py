"""The commands of the program, one module each. A new one: a module here and a line in `seatrial.cli.TABLE`."""
