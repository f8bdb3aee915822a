"""Real failures of real processes, and a check that what clients saw of them is what one register per key could do."""
