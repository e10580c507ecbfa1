"""
A first prediction
==================

Fit the regressor to 123 of the Meuse samples, predict the other 30, and plot the predictions with
their intervals.
"""

# %%
# The table
# ---------
# Coordinates, numeric covariates and categories are columns of one table. Scaling and encoding are
# not needed. ``crs`` is the coordinate reference system, and ``elevation`` names the column that
# defines the elevation relation.

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
# Three ensemble members train faster than the default five. ``predict`` returns the mean, as for
# any regressor; ``predict_uncertainty`` adds the standard deviation, its two parts, and here the
# limits of a 90 % interval.

model = SpTGNNRegressor(crs=meuse.crs, elevation="elev", n_estimators=3, random_state=0)
model.fit(X_train, y_train)
print(f"R2 of {len(y_test)} held-out samples: {r2_score(y_test, model.predict(X_test)):.2f}")

predicted = model.predict_uncertainty(X_test, coverage=0.9)
predicted.head(3).round(2)

# %%
# Results
# -------
# Left, the held-out samples colored by their predictions; the training samples are gray. Right,
# observed against predicted values. The light bars are the intervals, which should contain nine of
# ten observations.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
axes[0].scatter(X_train["x"], X_train["y"], s=8, color="#bbbbbb", linewidths=0)
plot_map(X_test, predicted["mean"], crs=meuse.crs, ax=axes[0], label="predicted organic matter (%)")
ObservedPredictedDisplay.from_predictions(
    y_test,
    predicted["mean"],
    predicted["lower"],
    predicted["upper"],
    coverage=0.9,
    ax=axes[1],
    unit="%",
)
plt.show()

# %%
# The score of one split of a small survey varies widely. :doc:`plot_random_vs_spatial_folds` shows
# spatial cross-validation.
