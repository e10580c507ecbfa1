"""Prediction maps: a fitted regressor and covariate rasters to layers, block by block.

- `grid`: cells, their centres and the blocks they are taken in
- `source`: covariates on one grid, read window by window
- `opening`: an xarray Dataset or GeoTIFFs as such a source
- `expectation`: what columns a fitted regressor asks for
- `cells`: the cells of a block as rows of X
- `planning`: what fills each of their columns
- `layers`: what is predicted for the cells of a block
- `running`: blocks one after another, or on dask
- `parts`: the folder of finished blocks, from which a stopped run goes on
- `files`: finished blocks to a cloud-optimised GeoTIFF or a Zarr store
- `mapping`: `predict_map`, which puts these together

xarray, rioxarray, rasterio and dask are imported when a map is made:
``pip install "sptgnn-sklearn[maps]"``.
"""

from .predict_map import predict_map

__all__ = ["predict_map"]
