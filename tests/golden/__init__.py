"""Databases as releases wrote them, to be read by every later one."""
