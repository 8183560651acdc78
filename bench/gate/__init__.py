"""What the gate in a model pod costs."""
