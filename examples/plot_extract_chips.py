"""
Cutting image chips from rasters
================================

Cut the raster window around each sample of a table, and plot the chips that the model uses.
"""

# %%
# A raster and a table
# --------------------
# Any file that rasterio opens can be used, of any size, because only the windows are read. This
# example simulates a hilly square of 20 km with a lake without data.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rasterio
from scipy.ndimage import gaussian_filter

from sptgnn_sklearn import ImageColumn, SpTGNNRegressor, TerraMindImages, extract_chips

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
elevation = sum(
    gaussian_filter(rng.normal(size=(1000, 1000)), sigma, mode="wrap") * sigma * gain
    for sigma, gain in ((60, 400), (12, 60), (3, 8))
)
elevation = (elevation - elevation.min()).astype("float32")
elevation[620:700, 430:550] = -9999  # the lake
grid = rasterio.Affine(20, 0, 500_000, 0, -20, 5_020_000)
profile = {"driver": "GTiff", "width": 1000, "height": 1000, "count": 1, "dtype": "float32"}
with rasterio.open(
    folder / "dem.tif", "w", **profile, crs="EPSG:32636", transform=grid, nodata=-9999
) as file:
    file.write(elevation, 1)

table = pd.DataFrame(
    {
        "x": 500_000 + rng.uniform(400, 19_600, 60).round(),
        "y": 5_000_000 + rng.uniform(400, 19_600, 60).round(),
        "clay": rng.uniform(5, 40, 60).round(1),
    }
)

# %%
# Extracting the chips
# --------------------
# Each row gets the path of a GeoTIFF of 32 by 32 pixels centered on the sample. File names depend
# on raster and window, so a second call writes only missing files. A row outside the raster, or
# without data around it, gets no path, and a warning counts such rows.

table = extract_chips(
    folder / "dem.tif",
    table,
    column="dem_path",
    size=32,
    out_dir=folder / "chips",
    crs="EPSG:32636",
)
print(f"{table['dem_path'].notna().sum()} of {len(table)} rows have a chip")

# %%
# Model input
# -----------
# ``TerraMindImages`` maps each modality to a column. ``ImageColumn`` describes properties that a
# file does not store, such as a scale: 1 here, and 0.1 for elevation in decimeters.
# :doc:`plot_imagery` fits such a model.

dem = ImageColumn("dem_path", scale=1.0)
model = SpTGNNRegressor(crs="EPSG:32636", images=TerraMindImages({"DEM": dem}, chip_size=32))
print(model)

# %%
# Results
# -------
# Left, the raster with the samples; the lake is white. Right, six chips on the same color scale,
# north up, with the sample in the center. The last three are the closest to the lake.

lake = np.array([509_800, 5_006_800])
with_chip = table.dropna(subset="dem_path")
order = np.linalg.norm(with_chip[["x", "y"]] - lake, axis=1).argsort()
shown = with_chip.index[[*order[[-8, 40, 30]], *order[[2, 1, 0]]]]
figure = plt.figure(figsize=(10, 4.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
ax = left.subplots()
scale = {"cmap": "cividis", "vmin": 0, "vmax": float(elevation.max())}
land = np.where(elevation < 0, np.nan, elevation)
image = ax.imshow(land, extent=(500, 520, 5000, 5020), **scale)
ax.plot(table["x"] / 1000, table["y"] / 1000, "o", color="white", markersize=3, markeredgecolor="k")
for number, row in enumerate(shown, start=1):
    ax.annotate(
        str(number),
        table.loc[row, ["x", "y"]] / 1000,
        xytext=(4, 4),
        textcoords="offset points",
        fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )
ax.set(xlabel="easting (km)", ylabel="northing (km)")
ax.ticklabel_format(useOffset=False)
left.colorbar(image, ax=ax, label="elevation (m)", shrink=0.8)
for number, (ax, row) in enumerate(zip(right.subplots(2, 3).flat, shown, strict=True), start=1):
    with rasterio.open(table.loc[row, "dem_path"]) as chip:
        ax.imshow(chip.read(1, masked=True), **scale)
    ax.plot(16, 16, "+", color="#D55E00", markersize=11, markeredgewidth=2)
    ax.set(title=number, xticks=[], yticks=[])
right.supxlabel("width 640 m", fontsize="medium")
plt.show()
