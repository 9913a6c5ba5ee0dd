"""What MIRROR costs: time, memory, storage and tokens. Not part of the package: `python -m bench NAME`."""
