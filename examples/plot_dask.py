"""
How do I spread the work over more processes?
=============================================

Run a cross-validation on a Dask cluster of two processes, see who fitted what and when, and check
that the scores are the same.
"""

# %%
# Work to be spread
# -----------------
# Folds are fitted independently of each other, so that they may run anywhere.

import joblib
import matplotlib.pyplot as plt
from dask.distributed import Client, LocalCluster, get_task_stream
from sklearn.model_selection import cross_val_score

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.model_selection import SpatialBlockKFold

survey = make_soil_survey(150, random_state=0)
X, y = survey.data, survey.target
model = SpTGNNRegressor(time="date", base=None, n_members=2, max_epochs=10, random_state=0)
folds, rmse = SpatialBlockKFold(6), "neg_root_mean_squared_error"

# %%
# Two workers of one thread each
# ------------------------------
# The processes of the cluster read this script again, hence the guard. Only the line that makes
# the cluster would change on many machines; :doc:`/cluster` has examples. ``scatter`` sends the
# table to every worker once.
#
# A bar is a fold, or a few that were sent together, and its row is the worker that fitted it.
# Rows that are full most of the time say that the work is spread well; a gap at the start is a
# process that was not ready yet.

if __name__ == "__main__":
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
        get_task_stream(client) as stream,
        joblib.parallel_config("dask", scatter=[X, y]),
    ):
        spread = cross_val_score(model, X, y, cv=folds, scoring=rmse, n_jobs=-1)
    here = cross_val_score(model, X, y, cv=folds, scoring=rmse)
    print("RMSE on the cluster:", -spread.round(4))
    print("RMSE here:          ", -here.round(4))
    print("the same:", bool((spread == here).all()))

    figure, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
    workers = sorted({task["worker"] for task in stream.data})
    begin = min(s["start"] for task in stream.data for s in task["startstops"])
    for task in stream.data:
        for span in task["startstops"]:
            if span["action"] == "compute":
                ax.barh(
                    workers.index(task["worker"]),
                    span["stop"] - span["start"],
                    left=span["start"] - begin,
                    color="#0072B2",
                    edgecolor="white",
                )
    ax.set(xlabel="seconds", yticks=range(len(workers)))
    ax.set_yticklabels([f"worker {i}" for i in range(len(workers))])
    ax.spines[["top", "right"]].set_visible(False)
    plt.show()
