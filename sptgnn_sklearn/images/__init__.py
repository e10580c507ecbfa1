"""Image chips: file formats, modalities and extraction from large rasters."""
