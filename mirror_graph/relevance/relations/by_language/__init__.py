"""More words of the concepts, one TOML file per language."""
