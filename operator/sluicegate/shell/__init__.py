"""Effects: reads and writes that carry out what core decided. No policy of their own."""
