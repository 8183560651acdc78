"""Figures of the project, measured on the real parts. Each has a bar, and a table tells whether it is met."""
