"""
Cross-validation on a Dask cluster
==================================

Run a cross-validation on a Dask cluster of two processes, plot which worker fitted which fold, and
check that the scores do not change.
"""

# %%
# The model and the folds
# -----------------------
# Folds are independent of each other, so they can be fitted on any worker.

import joblib
import matplotlib.pyplot as plt
from dask.distributed import Client, LocalCluster, get_task_stream
from sklearn.model_selection import cross_val_score

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import SpatialBlockKFold

survey = make_soil_survey(150, random_state=0)
X, y = survey.data, survey.target
model = SpTGNNRegressor(
    time="date", base_estimator=None, n_estimators=2, max_epochs=10, random_state=0
)
folds, rmse = SpatialBlockKFold(6), "neg_root_mean_squared_error"

# %%
# Two workers with one thread each
# --------------------------------
# Worker processes import this script, which requires the guard. On several machines only the line
# that creates the cluster changes; :doc:`/cluster` has examples. ``scatter`` sends the table to
# every worker once.
#
# Each bar is a fold, or a batch of folds, in the row of the worker that fitted it. Long gaps would
# mean idle workers; a gap at the start is the start-up of a process.

if __name__ == "__main__":
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
        get_task_stream(client) as stream,
        joblib.parallel_config("dask", scatter=[X, y]),
    ):
        distributed = cross_val_score(model, X, y, cv=folds, scoring=rmse, n_jobs=-1)
    local = cross_val_score(model, X, y, cv=folds, scoring=rmse)
    print("RMSE on the cluster:     ", -distributed.round(4))
    print("RMSE in this process:    ", -local.round(4))
    print("identical:", bool((distributed == local).all()))

    figure, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
    workers = sorted({task["worker"] for task in stream.data})
    start = min(span["start"] for task in stream.data for span in task["startstops"])
    for task in stream.data:
        for span in task["startstops"]:
            if span["action"] == "compute":
                ax.barh(
                    workers.index(task["worker"]),
                    span["stop"] - span["start"],
                    left=span["start"] - start,
                    color="#0072B2",
                    edgecolor="white",
                )
    ax.set(xlabel="seconds", yticks=range(len(workers)))
    ax.set_yticklabels([f"worker {i}" for i in range(len(workers))])
    ax.spines[["top", "right"]].set_visible(False)
    plt.show()
