"""The files of the page, sent as they stand."""
