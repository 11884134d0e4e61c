"""The console: what every purchase is doing, for the people of the shop."""
