"""Prediction maps: apply a fitted regressor to rasters of covariates, block by block.

- `sample_rasters`, `point_sampling`: covariates of sampling points
- `predict_map`: the map
- `open_rasters`, `resampling`, `covariate_stack`, `grid`: covariates on one grid, read window by
  window
- `model_inputs`, `match_columns`, `cell_table`: the cells of a block as rows of X
- `layers`, `map_metadata`: predictions of the cells of a block, and their description
- `scheduling`: blocks one after another, or on dask
- `block_files`, `writers`: finished blocks on disk, and the GeoTIFF, NetCDF file or Zarr store made
  from them

xarray, rioxarray, rasterio and dask are imported when a map is predicted:
``pip install "sptgnn-sklearn[maps]"``.
"""

import lazy_loader

# The names of __init__.pyi are imported at their first use.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
