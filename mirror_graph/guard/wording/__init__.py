"""The words of the guard, one TOML file per language."""
