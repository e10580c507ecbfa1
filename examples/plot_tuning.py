"""
Hyperparameter search with spatial folds
========================================

Choose between the graph network and boosted trees, and their hyperparameters, in one
``GridSearchCV`` with spatial folds.
"""

# %%
# One search for both models
# --------------------------
# Both estimators use the same table, so they can alternate as the last step of one Pipeline. Every
# candidate is scored on the same blocks. With ``network=NetworkConfig()`` a search reaches the
# parameters of the network as ``network__...``.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor, XGBoostBaseline
from sptgnn_sklearn.datasets import load_meuse
from sptgnn_sklearn.model_selection import SpatialBlockKFold

meuse = load_meuse()
X, y = meuse.data.drop(columns="landuse"), meuse.target
shared = {"crs": meuse.crs, "random_state": 0}
network = SpTGNNRegressor(elevation="elev", n_estimators=3, network=NetworkConfig(), **shared)
trees = XGBoostBaseline(**shared)

search = GridSearchCV(
    Pipeline([("model", trees)]),
    [
        {"model": [network], "model__network__hidden_size": [32, 64]},
        {"model": [trees], "model__max_depth": [3, 6], "model__n_estimators": [100, 500]},
    ],
    cv=SpatialBlockKFold(3, crs=meuse.crs),
    scoring="neg_root_mean_squared_error",
)
search.fit(X, y)
for name in ("model", *(key for key in search.best_params_ if key != "model")):
    print(f"best {name.removeprefix('model__')}: {search.best_params_[name]}")

# %%
# Results
# -------
# A bar is the mean RMSE of a candidate, a dot the RMSE of one fold. Differences between candidates
# matter only if they are larger than the scatter of the dots. Here blocks differ more than
# settings.

results = pd.DataFrame(search.cv_results_).sort_values("mean_test_score")
names = [
    ("SpTGNN" if "model__network__hidden_size" in setting else "XGBoost")
    + ": "
    + ", ".join(
        f"{key.rpartition('__')[2]} {value}" for key, value in setting.items() if key != "model"
    )
    for setting in results["params"]
]
figure, ax = plt.subplots(figsize=(8.5, 4), layout="constrained")
colors = ["#0072B2" if name.startswith("SpTGNN") else "#999999" for name in names]
ax.barh(names, -results["mean_test_score"], color=colors)
for fold in range(search.n_splits_):
    ax.plot(-results[f"split{fold}_test_score"], names, "o", color="#222222", markersize=4)
ax.set_xlabel("RMSE of held-out blocks, organic matter (%)")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The score of the best candidate is optimistic, because it was selected on these folds. For an
# unbiased estimate, pass the search to ``cross_val_predict`` with outer folds.
