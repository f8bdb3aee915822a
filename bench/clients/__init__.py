"""Programs that use a store as an application would; each runs in processes of its own."""
