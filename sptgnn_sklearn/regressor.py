"""`SpTGNNRegressor`: the scikit-learn estimator of the spatio-temporal graph neural network."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state, estimator_html_repr
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .encoders.embedder import add_image_features, fit_embedder
from .encoders.terramind_images import TerraMindImages, as_terramind_images
from .ensemble.base_models import make_base_models
from .ensemble.options import (
    RELATIONS,
    check_parameters,
    reachable_neighbors,
    similarity_kind,
    training_config,
)
from .graph.box_tree import NO_NEIGHBOR
from .inspection.attention import attention_table, expert_table
from .inspection.html_repr import fitted_facts, out_of_fold_r2, table_html
from .network.config import NetworkConfig
from .table.deduplication import deduplicate
from .table.measurement_error import standardized_noise
from .table.projection import CovariateProjection
from .table.schema import ROLE_CONSTRAINTS, SampleTable, TableSchema, named_roles
from .table.table_checks import warn_unlikely_queries, warn_unlikely_values
from .table.target_scaling import TargetScaler
from .table.validation import check_fit_input, check_predict_input
from .uncertainty.calibration import KINDS
from .uncertainty.correlated_draws import row_keys
from .uncertainty.prediction_methods import PredictionMethods
from .uncertainty.predictive_distribution import PredictiveDistribution
from .utils.atomic_fit import atomic_fit
from .utils.device import choose_device
from .utils.documentation_link import DocumentationLink
from .utils.parameter_names import ParameterNames
from .utils.safe_file import FileError

if TYPE_CHECKING:
    from .ensemble.fitted import Ensemble


class SpTGNNRegressor(
    PredictionMethods, DocumentationLink, ParameterNames, RegressorMixin, BaseEstimator
):
    """Spatio-temporal graph neural network regressor for georeferenced samples.

    Samples are nodes of a graph with up to three edge types (relations): spatial proximity,
    spectral similarity and elevation similarity. A sparse mixture of experts fuses the input
    streams (imagery, covariates, position, time), and relational graph attention aggregates the
    neighbors and their targets. An ensemble with heteroscedastic heads estimates aleatoric and
    epistemic uncertainty. The method is SpTGNN [1]_, of which only the abstract was available:
    layer sizes, neighbor counts, loss weights and the base model are choices of this package.

    Every column of X is a covariate unless a parameter gives it another role. A prediction depends
    on its own row and on the training rows, never on the other rows of X. At the location of a
    training row, that row is a neighbor, as in kriging. Covariates, dates and elevations may be
    missing, coordinates and targets may not, so the ``allow_nan`` tag of all columns is not set.

    Parameters
    ----------
    coordinates : pair of labels or positions, default=None
        Columns of (x, y) or (longitude, latitude). None uses columns with common coordinate names,
        else the first two columns.
    crs : str, int or pyproj.CRS, default=None
        Coordinate reference system. None is EPSG:4326 for columns named longitude and latitude,
        else a plane of unknown unit. Distances are great-circle km in geographic systems, otherwise
        in the unit of the system.
    time : label or position, default=None
        Column of sampling dates: datetimes, date strings or decimal years. May have missing values.
    elevation : label or position, default=None
        Column of elevation, which is also a covariate.
    spectral : None, "embeddings", "indices", "covariates" or sequence of labels, default=None
        Source of spectral similarity: image embeddings; mean NDVI, BSI and NDMI of the images;
        principal components of all covariates; or the given numeric columns, which are also
        covariates. None uses embeddings if there are images, else covariates.
    site : label or position, default=None
        Column of profile or site ids. Rows of one site are one location: they are held out together
        and are not neighbors of each other in training. None groups rows by equal coordinates.
    images : mapping of str to label, position or ImageColumn, or TerraMindImages, default=None
        Columns of image paths by modality, or a `TerraMindImages` with the settings of the encoder
        and of fine-tuning. Needs the extra "images".
    noise_std : label or position, default=None
        Column of standard deviations of the measurement error of y, in the unit of y, such as those
        of the laboratory; missing or 0 is none or unknown. In `fit` rows with larger errors count
        less, and predictions are those of values without the known errors. In predictions errors
        above 0 are added to the distribution of their row, but not to its mean. See
        :ref:`measurement-error`.
    campaign : label or position, default=None
        Column of laboratories or sampling campaigns, each of which may have an unknown shift of y.
        Predictions do not depend on it, and joint draws of `sample_y` do: rows of one campaign
        share its shift. Predictions may lack the column. See :ref:`campaigns`.
    relations : sequence of {"spatial", "spectral", "elevation"}, default=all three
        Edge types of the graph. Relations whose columns are missing are dropped; an empty sequence
        disables the graph.
    n_neighbors : int, default=10
        Number of neighbors in each relation.
    base_estimator : None, "auto", "xgboost", "kriging_boosting", "kriging_extra_trees", \
            "gaussian_process", regressor, or sequence of these, default="auto"
        Tabular models that the network is blended with, see :ref:`base-models`. The prediction is a
        weighted mean of all of them; the weights minimize the error on held-out locations. "auto"
        uses the three named after "xgboost" up to 1,000 distinct rows, and "xgboost" above; with
        more numeric covariates than rows also "linear_score". None uses the network alone.
    target_transform : None, "log1p" or "auto", default=None
        Transform of the target. "auto" uses log1p for non-negative, right-skewed targets.
        Predictions are means, not medians, in the unit of y.
    target_bounds : pair of float or None, default=None
        Limits of predicted means, quantiles, intervals and draws, such as ``(0, None)``.
    n_estimators : int, default=5
        Number of ensemble members. Each one holds out a different fifth of the locations.
    network : NetworkConfig, default=None
        Input streams, layer sizes, ingredients and loss weights of the network. None uses the
        defaults.
    max_epochs : int, default=None
        Number of epochs. None takes 240 steps, between 10 and 30 epochs, but at least 120 steps; 30
        epochs if an encoder is fine-tuned. The one-cycle schedule spans all epochs.
    batch_size : int, default=None
        Rows per step and ensemble member. None is 1/20 of the rows, between 32 and 256; above
        16,000 rows 1/64 of them, at most 1024.
    learning_rate : float, default=2e-3
        Peak learning rate of the one-cycle schedule.
    n_iter_no_change : int, default=10
        Early stopping: number of epochs without improvement of any member on its held-out locations
        after which training stops. Each member keeps its best epoch. None disables early stopping
        and keeps the last epoch.
    calibration : None, "scale", "quantile" or "local", default="quantile"
        Post-hoc calibration on held-out locations. "scale" multiplies variances by a factor that
        may grow with the distance to the neighbors. "quantile" also recalibrates the quantiles.
        "local" also scales them by the errors around a row, see :ref:`local-calibration`.
    callbacks : sequence of skorch callbacks, default=None
        Called by the training loop after the package's own callbacks.
    checkpoint_dir : path, default=None
        Folder in which the training state is saved after each epoch. An identical fit resumes from
        it, with the same result as without interruption; requires an integer `random_state`. Files
        are removed after the fit. Callbacks start anew.
    n_member_groups : int, default=1
        Number of groups in which ensemble members are trained, each group as one joblib task on
        `n_jobs` workers. One group, a single batched pass of all members, is usually the fastest.
    device : str, default="auto"
        Torch device; "auto" uses a GPU if there is one. It may be changed after fit.
    n_jobs : int, default=None
        Number of threads for neighbor search, the default base estimator and image reading, and of
        workers for groups of members. None means 1 unless in a `joblib.parallel_config` context.
        The base estimator uses fewer for small tables. Torch has its own number of threads.
    random_state : int, RandomState or None, default=None
        Seed of all random numbers. On CPU the same seed and OMP_NUM_THREADS give the same bits.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar, 2 prints a line per epoch.

    Attributes
    ----------
    columns_ : TableSchema
        Roles, data types and categories of the columns of X.
    projection_ : CovariateProjection or None
        Components that replace the numeric covariates if these are more than the rows.
    relations_ : tuple of str
        Relations in use.
    streams_ : tuple of str
        Input streams in use.
    target_ : TargetScaler
        Transform and scale of the target.
    embedder_ : ChipEmbedder or None
        Image reader and frozen encoder; None without images.
    ensemble_ : Ensemble
        The fitted networks, the base model and the training nodes.
    oob_prediction_ : ndarray of shape (n_samples,)
        Prediction of each training row without its own target, by the member that held it out if
        there is one (always with five members or more). NaN for rows of weight zero.
    held_out_gains_ : dict of str to float
        R2 at held-out locations minus that without a part: the "graph" (the network without
        neighbors), the "network", and each base model. Parts that others can replace gain little.
    history_ : list of dict
        One entry per epoch with ``train_loss`` and, with early stopping, ``held_out_mse``, the mean
        of ``held_out_mse_by_member``, in standardized units. Groups of members are concatenated.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, if all are strings.

    See Also
    --------
    XGBoostBaseline : Boosted trees with the same column roles.
    NetworkConfig : Parameters of the network.
    TerraMindImages : Parameters of images and their encoder.

    References
    ----------
    .. [1] SpTGNN, arXiv:2606.16580, 2026.

    Examples
    --------
    >>> from sptgnn_sklearn import SpTGNNRegressor
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> survey = make_soil_survey(n_samples=200, random_state=0)
    >>> model = SpTGNNRegressor(
    ...     time="date",
    ...     elevation="elevation",
    ...     base_estimator=None,
    ...     n_estimators=2,
    ...     max_epochs=5,
    ...     random_state=0,
    ... ).fit(survey.data, survey.target)
    >>> model.relations_
    ('spatial', 'spectral', 'elevation')
    >>> model.predict_uncertainty(survey.data.head(2)).columns.tolist()
    ['mean', 'std', 'aleatoric', 'epistemic']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **ROLE_CONSTRAINTS,
        "images": [Mapping, TerraMindImages, None],
        "relations": ["array-like"],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "base_estimator": "no_validation",
        "target_transform": [StrOptions({"log1p", "auto"}), None],
        "target_bounds": ["array-like", None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "network": [NetworkConfig, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "calibration": [StrOptions(set(KINDS)), None],
        "callbacks": ["array-like", None],
        "checkpoint_dir": [str, PathLike, None],
        "n_member_groups": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        coordinates=None,
        crs=None,
        time=None,
        elevation=None,
        spectral=None,
        site=None,
        images=None,
        noise_std=None,
        campaign=None,
        relations=RELATIONS,
        n_neighbors=10,
        base_estimator="auto",
        target_transform=None,
        target_bounds=None,
        n_estimators=5,
        network=None,
        max_epochs=None,
        batch_size=None,
        learning_rate=2e-3,
        n_iter_no_change=10,
        calibration="quantile",
        callbacks=None,
        checkpoint_dir=None,
        n_member_groups=1,
        device="auto",
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.coordinates = coordinates
        self.crs = crs
        self.time = time
        self.elevation = elevation
        self.spectral = spectral
        self.site = site
        self.images = images
        self.noise_std = noise_std
        self.campaign = campaign
        self.relations = relations
        self.n_neighbors = n_neighbors
        self.base_estimator = base_estimator
        self.target_transform = target_transform
        self.target_bounds = target_bounds
        self.n_estimators = n_estimators
        self.network = network
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.n_iter_no_change = n_iter_no_change
        self.calibration = calibration
        self.callbacks = callbacks
        self.checkpoint_dir = checkpoint_dir
        self.n_member_groups = n_member_groups
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def set_params(self, **params):
        """Set parameters, also nested ones such as ``network__hidden_size``.

        Nested parameters of ``network=None`` and of a mapping of images create a `NetworkConfig`
        and a `TerraMindImages`.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is unknown, or one of images is set without images.
        """
        nested = {name.partition("__")[0] for name in params if "__" in name}
        if "network" in nested and params.get("network", self.network) is None:
            params["network"] = NetworkConfig()
        if "images" in nested:
            params["images"] = as_terramind_images(params.get("images", self.images))
            if params["images"] is None:
                raise ValueError(
                    "Parameters of images cannot be set, because images=None: set images to a "
                    "mapping of modality to column first."
                )
        return super().set_params(**params)

    @atomic_fit
    def fit(self, X, y, sample_weight=None):
        """Build the graph and train the ensemble.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Coordinates, covariates and the columns of other roles. Covariates may be numeric,
            boolean or categorical and may have missing values.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights; a weight of 2 equals repeating the row, 0 drops it.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a column, role or parameter is invalid; the message names it. Raised before training.
        """
        from .ensemble.fit import FineTuning, fit_ensemble

        self._validate_params()
        network, images = check_parameters(self)
        rng, device = check_random_state(self.random_state), choose_device(self.device)
        X, y, weight, present = check_fit_input(self, X, y, sample_weight)
        schema, table = TableSchema.fit_transform(X, **named_roles(self))
        warn_unlikely_values(schema, table, y)
        embedder = fit_embedder(
            images, table, schema.images, device=device, n_jobs=self.n_jobs, verbose=self.verbose
        )
        table = add_image_features(embedder, table, self.spectral)
        merged = deduplicate(table, y, weight)
        target = TargetScaler.fit(y[merged.rows], merged.weight, self.target_transform)
        table, z = table.take(merged.rows), target.transform(y[merged.rows])
        noise = standardized_noise(
            table.noise_std, y[merged.rows], merged.weight, target, schema.noise_std
        )
        projection, inputs_schema = None, schema
        if CovariateProjection.is_needed(schema, len(table)):
            projection, table = CovariateProjection.fit(schema, table, z, merged.weight)
            inputs_schema = projection.schema(schema)
        ensemble = fit_ensemble(
            inputs_schema,
            table,
            z,
            merged.weight,
            n_members=int(self.n_estimators),  # True is 1
            network=network,
            training=training_config(self, network, images),
            relations=tuple(name for name in RELATIONS if name in self.relations),
            streams=network.streams,
            n_neighbors=reachable_neighbors(table, self.n_neighbors)
            if len(self.relations)
            else self.n_neighbors,
            base=make_base_models(
                self.base_estimator,
                table,
                rng.randint(2**31 - 1),
                self.n_jobs,
                projected=projection is not None,
            ),
            calibration=self.calibration,
            device=device,
            n_groups=self.n_member_groups,
            n_jobs=self.n_jobs,
            rng=rng,
            similarity=similarity_kind(self.spectral),
            fine_tuning=FineTuning.from_images(embedder, images),
            noise=noise,
        )
        merged = merged.among(present)
        held_out, _, _ = PredictiveDistribution(
            ensemble.require_training_rows().held_out,
            target,
            ensemble.postprocessor.calibration,
            self.target_bounds,
        ).moments()
        oob_prediction = np.where(merged.inverse < 0, np.nan, held_out[merged.inverse])
        self.columns_, self.target_, self.embedder_ = schema, target, embedder
        self.projection_ = projection
        self.ensemble_, self._merged = ensemble, merged
        self.relations_, self.streams_ = ensemble.relations, ensemble.streams
        self.history_, self.oob_prediction_ = ensemble.history, oob_prediction
        self.held_out_gains_ = ensemble.require_training_rows().gains
        return self

    def sample_y(self, X, n_samples=1, random_state=None):
        """Draw samples from the joint predictive distribution of rows.

        Errors at nearby locations are correlated, and in models with dates also those of one place
        at several dates. The mean over a region or its change is more uncertain than independent
        errors imply. Compute the quantity of interest of each draw, such as the mean over rows, and
        then its quantiles over draws.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
        n_samples : int, default=1
            Number of draws.
        random_state : int, RandomState or None, default=None
            Calls with the same int are joint draws: the correlated part of the errors is a function
            of place and date, and the noise of a row one of its values. Tiles agree with the whole,
            and two dates may be drawn one after the other. Identical rows share their noise.

        Returns
        -------
        ndarray of shape (n_rows, n_samples)
            In the unit of y. The marginal distribution of each row is that of `predict_quantiles`.

        Notes
        -----
        The correlogram is estimated from the errors at held-out locations: in space, and in models
        with dates by the lag between them, with a share common to all rows of a year if the years
        differ significantly. Where the dates cannot tell the correlation in time, spatial errors in
        different years are independent, which gives changes the largest error; see
        ``ensemble_.postprocessor.correlation``. Shifts of laboratories or campaigns are included if
        the model has the role `campaign`.

        Examples
        --------
        >>> import numpy as np
        >>> from sptgnn_sklearn import SpTGNNRegressor
        >>> from sptgnn_sklearn.datasets import make_soil_survey
        >>> survey = make_soil_survey(n_samples=200, random_state=0)
        >>> model = SpTGNNRegressor(time="date", n_estimators=2, max_epochs=5, random_state=0)
        >>> draws = model.fit(survey.data, survey.target).sample_y(survey.data, 500, random_state=0)
        >>> draws.shape
        (200, 500)
        >>> low, high = np.quantile(draws.mean(axis=0), [0.05, 0.95])  # of the regional mean
        >>> bool(low < high)
        True
        """
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be an integer above 0; found {n_samples!r}.")
        seed = random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(random_state).randint(2**31 - 1)
        check_is_fitted(self)
        parsed = self.columns_.transform(check_predict_input(self, X))
        # Paths of images may be those of temporary files, as in maps.
        parts = [parsed.coordinates, parsed.numeric, parsed.categories, parsed.time]
        keys = row_keys([part for part in parts if part is not None])
        ensemble, table = self._complete(parsed, stacklevel=4)
        positions = ensemble.features.relation_spaces(table)["spatial"]
        scores = ensemble.postprocessor.correlation.draw(
            positions, table.time, keys, int(n_samples), int(seed) % 2**32, table.campaign
        )
        found = self._distribution(ensemble, table)
        return found.draw(found.add_measurement_scores(scores, keys, int(seed) % 2**32))

    def kneighbors(self, X=None, n_neighbors=None, return_distance=True, *, relation="spatial"):
        """Find the nearest training rows of each row in one relation.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_queries, n_features), default=None
            None returns the neighbors of the training rows, which exclude the row itself.
        n_neighbors : int, default=None
            None is the number used in fit, which is also the maximum for training rows.
        return_distance : bool, default=True
        relation : {"spatial", "spectral", "elevation"}, default="spatial"

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            In km or CRS units for "spatial", else in standard deviations; infinite for missing
            neighbors. Only returned if `return_distance` is True.
        indices : ndarray of shape (n_queries, n_neighbors)
            Row positions in the X of fit; -1 for missing neighbors.
        """
        check_is_fitted(self)
        if relation not in self.relations_:
            raise ValueError(f"relation={relation!r} is not in use; in use: {self.relations_}.")
        if n_neighbors is not None and (not isinstance(n_neighbors, Integral) or n_neighbors < 1):
            raise ValueError(
                f"n_neighbors must be an integer above 0 or None; found {n_neighbors!r}."
            )
        n_neighbors = None if n_neighbors is None else int(n_neighbors)
        if X is None:
            if (self._merged.inverse < 0).any():
                raise ValueError("Rows of weight zero are not in the graph; pass X.")
            rows = self._merged.inverse
            distances, lists = self.ensemble_.training_neighbors(relation, n_neighbors, rows)
        else:
            ensemble, table = self._parse(X)
            distances, lists = ensemble.query_neighbors(table, relation, n_neighbors)
        indices = np.where(lists == NO_NEIGHBOR, -1, self._merged.rows[lists])
        return (distances, indices) if return_distance else indices

    def attention_weights(self, X):
        """Return the attention weights of the neighbors of each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        DataFrame
            One line per row, relation and neighbor, with the columns row (position in X), relation,
            neighbor (position in the X of fit; -1 is attention not assigned to any neighbor),
            weight and distance (as in `kneighbors`). Weights are those of the last attention layer,
            averaged over heads and members; for each row and relation they sum to 1.

        Raises
        ------
        ValueError
            If the graph is disabled.

        Notes
        -----
        Attention weights do not measure how much a neighbor changes the prediction.

        Examples
        --------
        >>> from sptgnn_sklearn import SpTGNNRegressor
        >>> from sptgnn_sklearn.datasets import make_soil_survey
        >>> survey = make_soil_survey(n_samples=100, random_state=0)
        >>> model = SpTGNNRegressor(time="date", n_estimators=2, max_epochs=2, base_estimator=None)
        >>> weights = model.fit(survey.data, survey.target).attention_weights(survey.data.head(2))
        >>> weights.groupby(["row", "relation"])["weight"].sum().round(6).tolist()
        [1.0, 1.0, 1.0, 1.0]
        """
        ensemble, table = self._parse(X)
        if not self.relations_:
            raise ValueError(
                "attention_weights needs a graph, but relations_ is empty: fit with relations."
            )
        found = ensemble.explain(table)
        assigned = found.neighbors != NO_NEIGHBOR
        return attention_table(
            self.relations_,
            np.where(assigned, self._merged.rows[found.neighbors], -1),
            found.attention,
            ensemble.neighbor_distances(table, found.neighbors),
        )

    def expert_weights(self, X):
        """Return the gate weights of the experts for each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        DataFrame of shape (n_samples, n_estimators * n_experts)
            Columns (member, expert); the index is that of X. The weights of each ensemble member
            sum to 1, and at most `top_k` of them are nonzero. Experts of different members are not
            related.

        Raises
        ------
        ValueError
            If the network has no mixture of experts.

        Examples
        --------
        >>> from sptgnn_sklearn import SpTGNNRegressor
        >>> from sptgnn_sklearn.datasets import make_soil_survey
        >>> survey = make_soil_survey(n_samples=100, random_state=0)
        >>> model = SpTGNNRegressor(time="date", n_estimators=2, max_epochs=2, base_estimator=None)
        >>> weights = model.fit(survey.data, survey.target).expert_weights(survey.data)
        >>> weights.shape, (weights[0] > 0).sum(axis=1).max()
        ((100, 8), np.int64(2))
        """
        ensemble, table = self._parse(X)
        if not ensemble.network.shape.n_experts:
            raise ValueError(
                "expert_weights needs a mixture of experts, but n_experts=0: fit with more experts."
            )
        gates = ensemble.explain(table).gates
        return expert_table(gates, X.index if isinstance(X, pd.DataFrame) else None)

    def to_hetero_data(self):
        """Return the training graph for use with PyTorch Geometric.

        Returns
        -------
        torch_geometric.data.HeteroData
            Nodes "sample" with the concatenated input streams as ``x`` and the standardized target
            as ``y``; one edge type per relation, with its edge features as ``edge_attr``.
        """
        check_is_fitted(self)
        return self.ensemble_.to_hetero_data()

    def save(self, path, *, training_data=True, min_group_size=5, coordinate_grid=None):
        """Save the fitted estimator to one file, to be read by `load`.

        The file is a safetensors file with JSON metadata. It contains no code, has a checksum, and
        is written atomically.

        Parameters
        ----------
        path : path-like
            Such as "model.safetensors"; an existing file is replaced.
        training_data : bool, default=True
            False replaces the training rows by means of groups of locations, see :ref:`sharing`.
            Predictions change, and there are no `oob_prediction_` and neighbors of training rows.
        min_group_size : int, default=5
            Least number of locations in a group, with ``training_data=False``.
        coordinate_grid : float, default=None
            Least diameter of a group, in the unit of the coordinates. None is the median distance
            to the location that completes a group.

        Raises
        ------
        ValueError
            If a part of the model cannot be saved (fine-tuned encoders and custom base models with
            ``training_data=False``), or there are too few locations for a group.
        OSError
            If the file cannot be written; an existing file is left unchanged.

        Warns
        -----
        UserWarning
            If more than 0.015 of the explained variance may be lost by the grouping.

        Notes
        -----
        With ``training_data=False`` a recipient can learn means of groups, quantiles averaged over
        as many locations, and networks and trees trained on the rows, but no values of single rows
        and no names of rare categories. It is no protection against membership inference. Local
        calibration is dropped, and shifts of campaigns become shifts of years.

        Examples
        --------
        >>> import os, tempfile
        >>> from sptgnn_sklearn import SpTGNNRegressor
        >>> from sptgnn_sklearn.datasets import make_soil_survey
        >>> survey = make_soil_survey(n_samples=100, random_state=0)
        >>> model = SpTGNNRegressor(time="date", n_estimators=2, max_epochs=2, base_estimator=None)
        >>> model = model.fit(survey.data, survey.target)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     model.save(path)
        ...     again = SpTGNNRegressor.load(path)
        >>> bool((again.predict(survey.data) == model.predict(survey.data)).all())
        True
        """
        from .persistence.model_file import fitted_attributes, save_model

        check_is_fitted(self)
        save_model(
            path,
            self.get_params(deep=False),
            fitted_attributes(self),
            training_data=training_data,
            min_group_size=min_group_size,
            coordinate_grid=coordinate_grid,
        )

    @classmethod
    def load(cls, path, *, trusted=()):
        """Load an estimator that was saved by `save`.

        Parameters
        ----------
        path : path-like
        trusted : sequence of str, default=()
            Names of the types of a custom base estimator beyond those of scikit-learn and numpy.
            The error of a first attempt lists them; pass them only if you trust the file.

        Returns
        -------
        SpTGNNRegressor

        Raises
        ------
        ValueError
            If the file is damaged, was not written by this package, or needs another version.
            Nothing in a file is executed.
        OSError
            If the file cannot be read.
        """
        from .persistence.model_file import load_model

        params, fitted = load_model(path, trusted)
        try:
            model = cls(**params)
        except TypeError as error:
            raise FileError(f"{str(path)!r} has parameters of another version: {error}.") from error
        model.__dict__.update(fitted)
        return model

    @property
    def _is_calibrated_locally(self) -> bool:
        """Whether intervals come with an effective number of errors; not in all loaded models."""
        fitted = getattr(self, "ensemble_", None)
        return fitted is not None and fitted.postprocessor.calibration.local is not None

    def _parse(self, X: Any) -> tuple[Ensemble, SampleTable]:
        """Return the ensemble on the device of the parameter `device`, and X as a SampleTable."""
        check_is_fitted(self)
        return self._complete(self.columns_.transform(check_predict_input(self, X)))

    def _complete(self, table: SampleTable, stacklevel: int = 6) -> tuple[Ensemble, SampleTable]:
        """Return the ensemble, and a parsed table with projected covariates and image features."""
        if self.projection_ is not None:
            table = self.projection_.transform(table)
        warn_unlikely_queries(self.ensemble_.features, table, stacklevel=stacklevel)
        table = add_image_features(self.embedder_, table, self.spectral)
        return self.ensemble_.to(choose_device(self.device)), table

    def _predict(self, X: Any) -> PredictiveDistribution:
        return self._distribution(*self._parse(X))

    def _distribution(self, ensemble: Ensemble, table: SampleTable) -> PredictiveDistribution:
        return PredictiveDistribution(
            ensemble.predict(table),
            self.target_,
            self.ensemble_.postprocessor.calibration,
            self.target_bounds,
            table.noise_std,
        )

    # scikit-learn 1.6 has other hooks than `_html_repr`.
    def _repr_html_inner(self):
        return self._html_repr()

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        return bundle | ({"text/html": self._html_repr()} if "text/html" in bundle else {})

    def _html_repr(self):
        """Return scikit-learn's diagram and, once fitted, a table of roles and rows."""
        diagram = estimator_html_repr(self)
        return diagram + table_html(self._fitted_facts()) if hasattr(self, "ensemble_") else diagram

    def _fitted_facts(self) -> dict[str, str]:
        """Return column roles, rows and held-out R2 of the fitted estimator as text."""
        ensemble, merged = self.ensemble_, self._merged
        return fitted_facts(
            self.columns_,
            relations=ensemble.relations,
            streams=ensemble.streams,
            weight=merged.weight,
            n_rows=int((merged.inverse >= 0).sum()),
            n_members=ensemble.n_members,
            r2=self._out_of_fold_r2(),
            gains=getattr(self, "held_out_gains_", {}),
        )

    def _out_of_fold_r2(self) -> float:
        """R2 of predictions at held-out locations; NaN in a model that was saved without rows."""
        ensemble, merged = self.ensemble_, self._merged
        if ensemble.training is None or not hasattr(self, "oob_prediction_"):
            return np.nan
        return out_of_fold_r2(
            self.target_.inverse_transform(ensemble.standardized_targets),
            self.oob_prediction_[merged.rows],
            merged.weight,
            ensemble.held_out_masks(),
        )
