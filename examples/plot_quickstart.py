"""
How do I get a first prediction?
================================

Fit the regressor to 123 of the Meuse samples, predict the other 30, and read what it says of each.
"""

# %%
# The table
# ---------
# Everything is a column of one table: coordinates, numbers, classes. Nothing has to be scaled or
# encoded. The reference system says what the coordinates mean; ``elevation`` names the column of
# heights, in which samples are alike, too.

import matplotlib.pyplot as plt
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import load_meuse
from sptgnn_sklearn.plotting import ObservedPredictedDisplay, plot_map

meuse = load_meuse()
X_train, X_test, y_train, y_test = train_test_split(
    meuse.data, meuse.target, test_size=30, random_state=5
)
X_train.head(3)

# %%
# Fit and predict
# ---------------
# Three members train faster than the default five. ``predict`` gives the mean, as any regressor
# does; ``predict_uncertainty`` adds the standard deviation, its two parts, and here the limits
# of a 90 % interval.

model = SpTGNNRegressor(crs=meuse.crs, elevation="elev", n_members=3, random_state=0)
model.fit(X_train, y_train)
print(f"R2 of {len(y_test)} held-out samples: {r2_score(y_test, model.predict(X_test)):.2f}")

said = model.predict_uncertainty(X_test, coverage=0.9)
said.head(3).round(2)

# %%
# How to read it
# --------------
# Left, every held-out sample at its place, coloured by what was predicted; the training samples
# are grey. Right, each prediction beside its measurement: points on the line are exact, and the
# light bars are the intervals, which should hold nine of ten measurements.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
axes[0].scatter(X_train["x"], X_train["y"], s=8, color="#bbbbbb", linewidths=0)
plot_map(X_test, said["mean"], crs=meuse.crs, ax=axes[0], label="predicted organic matter (%)")
ObservedPredictedDisplay.from_predictions(
    y_test, said["mean"], said["lower"], said["upper"], ax=axes[1], unit="%", coverage=0.9
)
plt.show()

# %%
# A score of one split of a small survey says little. How to score honestly is the next question:
# :doc:`plot_random_against_spatial`.
