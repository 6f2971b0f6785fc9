"""The ``lightapi`` command: ``main`` reads the arguments, and a module per command does what they say."""
