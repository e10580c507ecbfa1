"""A small sample with strata, clusters, zones and inclusion probabilities, shared by tests.

Results of R in the tests are those of R 4.2.2 and its package survey 4.1.1, with this data:

    library(survey)
    d <- data.frame(
      y = c(12.1, 15.3, 14.2, 31.4, 27.9, 35.2, 8.3, 9.9, 11.7, 10.4, 21.5, 18.8, 24.6, 16.0,
            13.3, 29.1),
      m = c(13.0, 14.1, 15.5, 28.9, 30.2, 33.0, 9.9, 9.1, 12.8, 11.6, 19.4, 20.1, 22.7, 15.2,
            14.9, 26.3),
      stratum = rep(c("a", "b", "c"), c(6, 4, 6)),
      cluster = c(1, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8),
      zone = c("n", "s", "n", "s", "s", "s", "n", "n", "s", "n", "s", "n", "s", "n", "n", "s"),
      pik = c(.05, .08, .06, .2, .15, .25, .04, .05, .05, .04, .1, .12, .15, .08, .06, .18))
    d$Nh <- c(a=60, b=25, c=90)[d$stratum]; d$N <- 175
    d$C <- c(a=20, b=10, c=30)[d$stratum]; d$C1 <- 60
    d$M <- c(6, 4, 3, 5, 7, 4, 8, 5)[d$cluster]; d$i <- 1:16; e <- d[d$cluster != 3, ]
    srs  <- svydesign(ids=~1, fpc=~N, data=d)
    str0 <- svydesign(ids=~1, strata=~stratum, weights=d$Nh / c(a=6, b=4, c=6)[d$stratum], data=d)
    str  <- svydesign(ids=~1, strata=~stratum, fpc=~Nh, data=d)
    cl0  <- svydesign(ids=~cluster, weights=60 / 8 + 0 * d$y, data=d)
    cl   <- svydesign(ids=~cluster, fpc=~C1, data=d)
    scl  <- svydesign(ids=~cluster, strata=~stratum, fpc=~C, data=d)
    ts0  <- svydesign(ids=~cluster + i, data=e,
                      weights=60 / 7 * e$M / 2^(e$cluster != 1) / 3^(e$cluster == 1))
    ts   <- svydesign(ids=~cluster + i, fpc=~C1 + M, data=e)
    pp   <- svydesign(ids=~1, probs=~pik, data=d)
"""

import pandas as pd

SAMPLE = pd.DataFrame(
    {
        "y": [
            *(12.1, 15.3, 14.2, 31.4, 27.9, 35.2, 8.3, 9.9),
            *(11.7, 10.4, 21.5, 18.8, 24.6, 16.0, 13.3, 29.1),
        ],
        "m": [
            *(13.0, 14.1, 15.5, 28.9, 30.2, 33.0, 9.9, 9.1),
            *(12.8, 11.6, 19.4, 20.1, 22.7, 15.2, 14.9, 26.3),
        ],
        "stratum": ["a"] * 6 + ["b"] * 4 + ["c"] * 6,
        "cluster": [1, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8],
        "zone": [*"nsnsssnnsnsnsnns"],
        "pi": [
            *(0.05, 0.08, 0.06, 0.2, 0.15, 0.25, 0.04, 0.05),
            *(0.05, 0.04, 0.1, 0.12, 0.15, 0.08, 0.06, 0.18),
        ],
    }
)
# Two stages need two units of each cluster.
TWO_STAGES = SAMPLE[SAMPLE["cluster"] != 3]
STRATUM_SIZES = {"a": 60, "b": 25, "c": 90}
N_CLUSTERS = {"a": 20, "b": 10, "c": 30}
CLUSTER_SIZES = {1: 6, 2: 4, 3: 3, 4: 5, 5: 7, 6: 4, 7: 8, 8: 5}


def design_arguments(name: str) -> tuple[pd.DataFrame, dict]:
    """Return the sample and the arguments of a design that is named as in R above."""
    stratified = {"strata": SAMPLE["stratum"]}
    clustered = {"clusters": SAMPLE["cluster"]}
    two_stages = {
        "clusters": TWO_STAGES["cluster"],
        "n_clusters": 60,
        "cluster_sizes": CLUSTER_SIZES,
    }
    arguments: dict[str, dict] = {
        "srs": {"population_size": 175, "fpc": True},
        "str0": {**stratified, "stratum_sizes": STRATUM_SIZES},
        "str": {**stratified, "stratum_sizes": STRATUM_SIZES, "fpc": True},
        "cl0": {**clustered, "n_clusters": 60},
        "cl": {**clustered, "n_clusters": 60, "fpc": True},
        "scl": {**stratified, **clustered, "n_clusters": N_CLUSTERS, "fpc": True},
        "ts0": two_stages,
        "ts": {**two_stages, "fpc": True},
        "pp": {"inclusion_probabilities": SAMPLE["pi"]},
    }
    return (TWO_STAGES if name.startswith("ts") else SAMPLE), arguments[name]
