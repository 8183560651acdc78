"""A change of the model inside the running engine, as a transaction: whole and proven, or not at all."""
