"""The ``lightapi`` command: a module for each command does what the arguments say."""
