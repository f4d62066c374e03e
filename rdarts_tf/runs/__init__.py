"""The files of runs, and commands that fill them; no TensorFlow."""
