"""
Spatial autocorrelation of the residuals
========================================

Compare Moran's I of the residuals of boosted trees on the covariates with that of the graph
network.
"""

# %%
# A survey with a spatial field that is independent of the covariates
# -------------------------------------------------------------------
# The residuals of a model without coordinates contain the whole field, so they are spatially
# autocorrelated.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import KFold, cross_val_predict

from sptgnn_sklearn import SpTGNNRegressor, XGBoostBaseline
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.metrics import expected_morans_i, residual_morans_i
from sptgnn_sklearn.plotting import plot_map

survey = make_soil_survey(400, field_sd=7, range_km=100, random_state=0)
X, y = survey.data, survey.target
models = {
    "trees on covariates": XGBoostBaseline(time="date", use_coordinates=False, random_state=0),
    "SpTGNN": SpTGNNRegressor(time="date", elevation="elevation", n_estimators=2, random_state=0),
}
folds = KFold(3, shuffle=True, random_state=0)
residuals = {name: y - cross_val_predict(model, X, y, cv=folds) for name, model in models.items()}

# %%
# Results
# -------
# Each point is the residual of a held-out sample. Patches of one color are regions where a model
# over- or underestimates systematically. Without spatial autocorrelation, Moran's I is close to its
# expectation.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
limit = np.quantile(np.abs(np.concatenate(list(residuals.values()))), 0.98)
for ax, (name, errors) in zip(axes, residuals.items(), strict=True):
    index = residual_morans_i(y, y - errors, X)
    print(f"{name}: Moran's I {index:.3f}, RMSE {np.sqrt(np.mean(errors**2)):.2f} g/kg")
    plot_map(X, errors, ax=ax, label="residual (g/kg)", cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.collections[0].set(edgecolors="#888888", linewidths=0.3)  # points near zero are white
    ax.set_title(f"{name}: Moran's I {index:.2f}")
print(f"expected without autocorrelation: {expected_morans_i(len(y)):.3f}")
plt.show()
