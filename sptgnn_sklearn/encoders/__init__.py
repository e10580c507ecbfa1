"""TerraMind encoders: frozen embeddings, fine-tuning and caches."""
