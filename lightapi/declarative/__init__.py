"""Apps described in a YAML file: how it is read, checked, built, and described to editors."""
