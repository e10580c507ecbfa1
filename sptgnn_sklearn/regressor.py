"""`SpTGNNRegressor`: the scikit-learn estimator over `fitting.fit_ensemble`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.special import ndtr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state, estimator_html_repr
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .encoders.embedder import ChipEmbedder
from .ensemble.base_regressor import make_base
from .ensemble.fit import FineTuning, fit_ensemble
from .ensemble.options import RELATIONS, STREAMS
from .graph.box_tree import NO_NEIGHBOR
from .graph.knn_graph import KNNGraph
from .inspection.attention import attention_table, expert_table
from .inspection.html_repr import fitted_facts, out_of_fold_r2, table_html
from .persistence.model_file import load_model, save_model
from .spatial.blocks import location_ids
from .spatial.distances import chord_to_distance
from .table.deduplication import deduplicate
from .table.features import SIMILARITIES
from .table.image_columns import image_columns
from .table.schema import SampleTable, TableSchema, named_roles
from .table.target_scaling import TargetScaler, mixture_quantiles
from .table.validation import check_fit_input, check_predict_input, warn_target_leakage
from .training.callbacks import check_callbacks
from .training.config import TrainingConfig
from .uncertainty.calibration import KINDS
from .uncertainty.conformal import conformal_limits
from .uncertainty.error_correlation import SCORES, quantiles_at_scores
from .uncertainty.postprocessing import MemberPredictions
from .utils.device import choose_device
from .utils.safe_file import FileError


class SpTGNNRegressor(RegressorMixin, BaseEstimator):
    """Spatio-temporal graph neural network regressor for tables of located samples.

    Samples are nodes of a graph with up to three relations: spatial proximity, spectral similarity
    and elevation similarity. Streams of node features (imagery, covariates, position, time) are
    fused by a sparse mixture of experts; relational graph attention weighs the neighbours, whose
    targets enter last. An ensemble of members with heteroscedastic heads gives aleatoric and
    epistemic uncertainty. The method is SpTGNN [1]_, whose layer sizes, neighbour counts and loss
    weights are not public: those here are this package's choices, as are the tabular base and its
    correction.

    Every column of X is a covariate unless a parameter gives it a role. A prediction depends on its
    own row and the training rows, never on the other rows of X. A query at the place of a training
    row uses that row, as kriging does. Covariates, dates and heights may be missing, coordinates
    and targets may not; as scikit-learn's ``allow_nan`` tag speaks of every column, it is not set.

    Parameters
    ----------
    coordinates : pair of labels or positions, default=None
        Columns of (x, y) or (longitude, latitude). None looks for the usual names, and takes the
        first two columns where there are none.
    crs : str, int or pyproj.CRS, default=None
        Coordinate reference system. None: EPSG:4326 for columns named as longitude and latitude,
        else planar coordinates of unknown unit. Distances are great-circle km for geographic
        systems, else in the unit of the system.
    time : label or position, default=None
        Column of sampling dates: datetimes, date strings or decimal years; may have gaps.
    elevation : label or position, default=None
        Column of elevation; it is a covariate too.
    spectral : None, "embeddings", "indices", "covariates" or sequence of labels, default=None
        What defines spectral similarity: the embeddings of the chips, their mean NDVI, BSI and
        NDMI, leading principal components of all covariates, or some numeric columns, which stay
        covariates too. None takes embeddings where there are images, else covariates.
    site : label or position, default=None
        Column of profile or site ids. Rows of one site are one location: held out together, never
        each other's neighbours in training. None: equal coordinates.
    relations : sequence of {"spatial", "spectral", "elevation"}, default=all three
        Relations of the graph. Those without the columns they need are left out; an empty sequence
        switches the graph off.
    streams : sequence of {"imagery", "covariates", "position", "time"}, default=all four
        Node features in use.
    images : mapping of str to label, position or ImageColumn, default=None
        Columns of paths of chips: GeoTIFF or ``.npy``, by modality. TerraMind knows "S2L2A",
        "S2L1C", "S1GRD", "S1RTC", "DEM" and "RGB"; any other name is a new modality, whose patch
        weights start random. Any row may lack any image. Needs the extra "images".
    chip_size : int, default=None
        Pixels on a side that the encoder sees, a multiple of 16; chips are cropped to their middle
        or mirrored at their edges. None takes the size of the chips, at most 224.
    encoder : str, default="terramind_v1_tiny"
        "terramind_v1_tiny", "_small", "_base" or "_large", from terratorch.
    encoder_weights : "pretrained", path or None, default="pretrained"
        "pretrained" takes published weights from the Hugging Face hub. None is random weights.
    encoder_sha256 : str, default=None
        SHA-256 in hexadecimal digits that the file of weights must have; others are refused before
        they are read.
    fine_tune : bool or int, default=False
        Whether the encoder is trained with the network: all of it, or its last so many blocks. Each
        member has its own. False computes embeddings once and keeps them on disk.
    encoder_learning_rate : float, default=None
        Peak learning rate of the encoder's last stage. None: 1e-4, from random weights 1e-3.
    layer_decay : float, default=None
        Factor on that from each stage to the one below. None: 0.75, from random weights 1.
    augment : bool, default=True
        Turn and mirror chips at random while the encoder is tuned.
    gradient_checkpointing : bool, default=False
        Compute the encoder's activations twice to keep fewer of them.
    cache_dir : path, None or False, default=None
        Where embeddings are kept. None: "sptgnn_sklearn" in the user's cache folder, or the
        environment variable SPTGNN_CACHE. False keeps none.
    on_image_error : {"raise", "ignore"}, default="raise"
        What to do with a file that cannot be used; "ignore" warns and treats the row as without
        that image.
    n_neighbors : int, default=10
        Neighbours in each relation.
    base : None, "xgboost" or regressor, default="xgboost"
        Tabular regressor that the network corrects: the prediction is
        ``base + blend * (network - base)`` with the blend in [0, 1] that serves left-out locations
        best. None: the network alone.
    target_transform : None, "log1p" or "auto", default=None
        What the network learns. "auto" takes the logarithm of a non-negative, right-skewed target.
        Predictions are always in the unit of y, as means and not as medians.
    target_bounds : pair of float or None, default=None
        Limits of predicted means and quantiles, such as ``(0, None)``.
    n_members : int, default=5
        Members of the ensemble. Each leaves out another fifth of the locations.
    hidden_size : int, default=64
        Width of a node's state.
    n_heads : int, default=4
        Attention heads of each relation.
    n_layers : int, default=1
        Attention layers; the last one also carries the neighbours' targets.
    n_experts : int, default=4
        Experts of the mixture over the streams; 0 replaces it by one plain network.
    top_k : int, default=2
        Experts that serve each row.
    messages : bool, default=True
        Whether attention carries node states.
    neighbor_targets : bool, default=True
        Whether the last attention layer carries the neighbours' targets.
    dropout, feature_dropout : float, default=0.2, 0.1
        Dropout of states and of input features.
    max_epochs : int, default=None
        Epochs. None: as many as 240 steps need, between 10 and 30; more where that is fewer than
        120 steps, and 30 where an encoder is tuned. Rates rise and fall over all of them, so that
        much fewer leave the network unfinished.
    batch_size : int, default=None
        Rows of each member in a step. None: a twentieth of the rows, 32 to 256; of more than 16,000
        rows a 64th, up to 1024.
    learning_rate : float, default=2e-3
        Peak of the one-cycle schedule.
    weight_decay : float, default=0.1
        Weight decay of AdamW.
    beta : float, default=0.5
        Exponent of the beta-NLL loss; 0 is the Gaussian likelihood.
    moran_weight : float, default=0.01
        Weight of the penalty on Moran's I of a batch's residuals.
    early_stopping : bool, default=True
        Keep each member's best epoch, judged on the locations that it leaves out.
    n_iter_no_change : int, default=10
        Epochs without improvement of any member after which training stops.
    calibration : None, "scale" or "isotonic", default="isotonic"
        "scale" multiplies variances so that they match the errors on left-out locations, by a
        factor that grows with the distance to the neighbours where errors do. "isotonic" gives
        quantiles the shape of these errors as well. None leaves both as the network states them.
    callbacks : sequence of skorch callbacks, default=None
        Called by the training loop, after the package's own.
    checkpoint_dir : path, default=None
        Folder in which the state of training is kept after each epoch. The same fit, if it was cut
        off, goes on from there, to the same result as without the break; it needs a `random_state`.
        Files are removed when the fit is done. Callbacks begin anew.
    device : str, default="auto"
        "auto" takes a GPU if there is one. Any torch device name. It can be set anew after the fit:
        what was trained on a GPU predicts on a processor.
    n_jobs : int, default=None
        None trains all members in one batched pass, usually the fastest. A number trains groups of
        members in so many joblib workers. Also the threads of neighbour search (None: as many as
        torch uses) and base.
    random_state : int, RandomState or None, default=None
        Fixes all random numbers; on CPU the same seed gives the same bits.
    verbose : int, default=0
        0 silent, 1 a progress bar (in a script or a notebook), 2 a line for each epoch.

    Attributes
    ----------
    columns_ : Columns
        Roles, kinds and levels of the columns of X.
    relations_ : tuple of str
        Relations in use.
    streams_ : tuple of str
        Streams in use.
    target_ : TargetScale
        Transform and scale of the target.
    embedder_ : ChipEmbedder or None
        The image encoder and how chips are read; None without images.
    ensemble_ : Ensemble
        The fitted network, its base and the training rows it predicts from.
    oob_prediction_ : ndarray of shape (n_samples,)
        Prediction of each training row without its own target; from the member that left the row
        out where there is one (with five members: everywhere). NaN for rows of weight zero.
    history_ : list of dict
        What each epoch came to: ``train_loss`` and, with early stopping, ``held_out_mse``, the mean
        of the members' ``held_out_mse_by_member``, in standardised units. With `n_jobs` the groups
        of members follow one another.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, where it has string names.

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
    ...     base=None,
    ...     n_members=2,
    ...     max_epochs=5,
    ...     random_state=0,
    ... ).fit(survey.data, survey.target)
    >>> model.relations_
    ('spatial', 'spectral', 'elevation')
    >>> model.predict_uncertainty(survey.data.head(2)).columns.tolist()
    ['mean', 'std', 'aleatoric', 'epistemic']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "coordinates": ["array-like", None],
        "crs": "no_validation",
        "time": "no_validation",
        "elevation": "no_validation",
        "spectral": ["array-like", StrOptions(set(SIMILARITIES)), None],
        "site": "no_validation",
        "relations": ["array-like"],
        "streams": ["array-like"],
        "images": [Mapping, None],
        "chip_size": [Interval(Integral, 16, None, closed="left"), None],
        "encoder": [str],
        "encoder_weights": [str, PathLike, None],
        "fine_tune": ["boolean", Interval(Integral, 0, None, closed="left")],
        "encoder_learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "layer_decay": [Interval(Real, 0, 1, closed="right"), None],
        "augment": ["boolean"],
        "gradient_checkpointing": ["boolean"],
        "cache_dir": [str, PathLike, "boolean", None],
        "checkpoint_dir": [str, PathLike, None],
        "encoder_sha256": [str, None],
        "on_image_error": [StrOptions({"raise", "ignore"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "base": "no_validation",
        "target_transform": [StrOptions({"log1p", "auto"}), None],
        "target_bounds": ["array-like", None],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "hidden_size": [Interval(Integral, 4, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "n_experts": [Interval(Integral, 0, None, closed="left")],
        "top_k": [Interval(Integral, 1, None, closed="left")],
        "messages": ["boolean"],
        "neighbor_targets": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "feature_dropout": [Interval(Real, 0, 1, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "beta": [Interval(Real, 0, 1, closed="both")],
        "moran_weight": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "calibration": [StrOptions(set(KINDS)), None],
        "callbacks": ["array-like", None],
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
        relations=RELATIONS,
        streams=STREAMS,
        images=None,
        chip_size=None,
        encoder="terramind_v1_tiny",
        encoder_weights="pretrained",
        encoder_sha256=None,
        fine_tune=False,
        encoder_learning_rate=None,
        layer_decay=None,
        augment=True,
        gradient_checkpointing=False,
        cache_dir=None,
        on_image_error="raise",
        n_neighbors=10,
        base="xgboost",
        target_transform=None,
        target_bounds=None,
        n_members=5,
        hidden_size=64,
        n_heads=4,
        n_layers=1,
        n_experts=4,
        top_k=2,
        messages=True,
        neighbor_targets=True,
        dropout=0.2,
        feature_dropout=0.1,
        max_epochs=None,
        batch_size=None,
        learning_rate=2e-3,
        weight_decay=0.1,
        beta=0.5,
        moran_weight=0.01,
        early_stopping=True,
        n_iter_no_change=10,
        calibration="isotonic",
        callbacks=None,
        checkpoint_dir=None,
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
        self.relations = relations
        self.streams = streams
        self.images = images
        self.chip_size = chip_size
        self.encoder = encoder
        self.encoder_weights = encoder_weights
        self.encoder_sha256 = encoder_sha256
        self.fine_tune = fine_tune
        self.encoder_learning_rate = encoder_learning_rate
        self.layer_decay = layer_decay
        self.augment = augment
        self.gradient_checkpointing = gradient_checkpointing
        self.cache_dir = cache_dir
        self.on_image_error = on_image_error
        self.n_neighbors = n_neighbors
        self.base = base
        self.target_transform = target_transform
        self.target_bounds = target_bounds
        self.n_members = n_members
        self.hidden_size = hidden_size
        self.n_heads = n_heads
        self.n_layers = n_layers
        self.n_experts = n_experts
        self.top_k = top_k
        self.messages = messages
        self.neighbor_targets = neighbor_targets
        self.dropout = dropout
        self.feature_dropout = feature_dropout
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.beta = beta
        self.moran_weight = moran_weight
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.calibration = calibration
        self.callbacks = callbacks
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y, sample_weight=None):
        """Build the graph and train the ensemble.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Coordinates, covariates and the columns of other roles. Covariates may be numeric,
            boolean or categorical and may have gaps.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            A weight of 2 is the row twice, 0 is the row absent.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a column, role or parameter cannot be used; the message names it. Raised before
            training starts.
        """
        self._validate_params()
        self._check_parameters()
        rng = check_random_state(self.random_state)
        X, y, weight, present = check_fit_input(self, X, y, sample_weight)
        self.columns_ = TableSchema.fit(X, **named_roles(self))
        table = self.columns_.transform(X)
        warn_target_leakage(self.columns_, table, y)
        self.embedder_ = self._fit_embedder(table)
        table = self._add_image_features(table)
        merged = deduplicate(table, y, weight)
        self.target_ = TargetScaler.fit(y[merged.rows], merged.weight, self.target_transform)
        table = table.take(merged.rows)
        self.ensemble_ = fit_ensemble(
            self.columns_,
            table,
            self.target_.transform(y[merged.rows]),
            merged.weight,
            network_settings=self._network_settings(),
            schedule=self._schedule(),
            relations=tuple(name for name in RELATIONS if name in self.relations),
            streams=self.streams,
            n_neighbors=self._reachable_neighbors(table),
            base=make_base(self.base, rng.randint(2**31 - 1), self.n_jobs, table.numeric.shape[1]),
            calibration=self.calibration,
            device=choose_device(self.device),
            n_jobs=self.n_jobs,
            rng=rng,
            similarity=self._similarity(),
            tuning=self._fine_tuning(),
        )
        self.relations_, self.streams_ = self.ensemble_.relations, self.ensemble_.streams
        self.history_ = self.ensemble_.history
        self._merged = merged.among(present)
        held_out = self._mean_std(self.ensemble_.require_training_rows().held_out)[0]
        inverse = self._merged.inverse
        self.oob_prediction_ = np.where(inverse < 0, np.nan, held_out[inverse])
        return self

    def predict(self, X, return_std=False):
        """Predict the mean of the target.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Whether to return the predictive standard deviation as well.

        Returns
        -------
        mean : ndarray of shape (n_samples,)
            In the unit of y, single precision.
        std : ndarray of shape (n_samples,)
            Only with ``return_std=True``; total of aleatoric and epistemic.
        """
        mean, aleatoric, epistemic = self._mean_std(self._predict(X))
        # Single precision is what the network computes in; more digits would be noise.
        mean = mean.astype(np.float32)
        if not return_std:
            return mean
        return mean, np.hypot(aleatoric, epistemic).astype(np.float32)

    def predict_uncertainty(self, X, coverage=None):
        """Predict the mean and take its uncertainty apart.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        coverage : float, default=None
            Adds the limits of `predict_interval` at this coverage, at no further cost.

        Returns
        -------
        DataFrame of shape (n_samples, 4) or (n_samples, 6)
            Columns mean, std, aleatoric (noise that more samples would not remove) and epistemic
            (disagreement of the members), all standard deviations in the unit of y, with
            ``std**2 = aleatoric**2 + epistemic**2``; with `coverage` also lower and upper. The
            index is that of X.
        """
        predicted = self._predict(X)
        mean, aleatoric, epistemic = self._mean_std(predicted)
        columns = {
            "mean": mean,
            "std": np.hypot(aleatoric, epistemic),
            "aleatoric": aleatoric,
            "epistemic": epistemic,
        }
        if coverage is not None:
            columns["lower"], columns["upper"] = self._interval(predicted, coverage).T
        return pd.DataFrame(columns, index=X.index if isinstance(X, pd.DataFrame) else None)

    def predict_quantiles(self, X, quantiles=(0.05, 0.5, 0.95)):
        """Predict quantiles: of the mixture of the members' Gaussians, calibrated.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        quantiles : sequence of float, default=(0.05, 0.5, 0.95)
            Levels between 0 and 1.

        Returns
        -------
        ndarray of shape (n_samples, n_quantiles)
            In the unit of y; rising levels never cross.
        """
        levels = np.asarray(quantiles, dtype=float)
        if levels.ndim != 1 or not ((levels > 0) & (levels < 1)).all():
            raise ValueError(f"quantiles must lie between 0 and 1; found {quantiles!r}.")
        predicted = self._predict(X)
        return self._clip(self.target_.inverse_transform(self._quantiles(predicted, levels)))

    def predict_interval(self, X, coverage=0.9):
        """Predict conformal intervals.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        coverage : float, default=0.9
            Share of new rows whose targets the intervals shall hold.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            Lower and upper limit, in the unit of y.

        Raises
        ------
        ValueError
            If `coverage` is not between 0 and 1, or too few rows were held out to tell it.

        Notes
        -----
        Errors on left-out locations, over the predicted standard deviation, say how far intervals
        reach on either side (split conformal prediction, by MAPIE). Coverage is promised for rows
        like those that were left out: half of them singly, half in whole blocks. It is a share of
        all rows, not a probability for each.
        """
        return self._interval(self._predict(X), coverage)

    def sample(self, X, n_samples=1, random_state=None):
        """Draw from the joint predictive distribution of rows.

        Errors of rows that are close are alike, so that the mean over a field or a region is less
        certain than if every row erred by itself. Take the quantity of interest of each draw, such
        as the mean of its rows, and its quantiles over draws.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
        n_samples : int, default=1
            Draws.
        random_state : int, RandomState or None, default=None
            The part of errors that rows share is a function of the place, which an int fixes: maps
            that are drawn tile by tile with one int agree at the edges.

        Returns
        -------
        ndarray of shape (n_rows, n_samples)
            In the unit of y. Each row alone follows `predict_quantiles`.

        Notes
        -----
        The correlation of errors by distance is learnt from those on left-out locations. It says
        nothing about an error that all rows have in common, such as a shift between laboratories.

        Examples
        --------
        >>> import numpy as np
        >>> from sptgnn_sklearn import SpTGNNRegressor
        >>> from sptgnn_sklearn.datasets import make_soil_survey
        >>> survey = make_soil_survey(n_samples=200, random_state=0)
        >>> model = SpTGNNRegressor(time="date", n_members=2, max_epochs=5, random_state=0)
        >>> draws = model.fit(survey.data, survey.target).sample(survey.data, 500, random_state=0)
        >>> draws.shape
        (200, 500)
        >>> low, high = np.quantile(draws.mean(axis=0), [0.05, 0.95])  # of the region's mean
        >>> bool(low < high)
        True
        """
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be a whole number above 0; found {n_samples!r}.")
        rng = check_random_state(random_state)
        table = self._table(X)
        postprocessor = self.ensemble_.postprocessor
        positions = self.ensemble_.features.relation_spaces(table)["spatial"]
        scores = postprocessor.correlation.draw(positions, int(n_samples), rng)
        quantiles = self._quantiles(self.ensemble_.predict(table), ndtr(SCORES))
        return self._clip(self.target_.inverse_transform(quantiles_at_scores(quantiles, scores)))

    def kneighbors(self, X=None, n_neighbors=None, return_distance=True, *, relation="spatial"):
        """Return the training rows that send to each row in one relation.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_queries, n_features), default=None
            None: the training rows, which are not their own neighbours.
        n_neighbors : int, default=None
            None takes that of the fit. For the training rows no more than that.
        return_distance : bool, default=True
        relation : {"spatial", "spectral", "elevation"}, default="spatial"

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            In the relation's own space: km or CRS units for "spatial", standard deviations
            otherwise; infinite where there are fewer neighbours. Only with
            ``return_distance=True``.
        indices : ndarray of shape (n_queries, n_neighbors)
            Rows of the X of fit; -1 where there are fewer neighbours.
        """
        check_is_fitted(self)
        ensemble = self.ensemble_
        if relation not in self.relations_:
            raise ValueError(f"relation={relation!r} is not in use; in use: {self.relations_}.")
        training = ensemble.knn_graph.spaces[relation]
        if X is None:
            if (self._merged.inverse < 0).any():
                raise ValueError("Rows of weight zero have no place in the graph; pass X.")
            lists = ensemble.require_training_rows().neighbors[:, self.relations_.index(relation)][
                :, :n_neighbors
            ]
            lists, points = lists[self._merged.inverse], training[self._merged.inverse]
        else:
            table = self._table(X)
            points = ensemble.features.relation_spaces(table)[relation]
            wanted = min(n_neighbors or ensemble.n_neighbors, len(training))
            search = KNNGraph({relation: training}, ensemble.workers)
            lists = search.query({relation: points}, wanted)[:, 0]
        indices = np.where(lists == NO_NEIGHBOR, -1, self._merged.rows[lists])
        if not return_distance:
            return indices
        return self._neighbor_distances(points, relation, lists), indices

    def attention(self, X):
        """Tell which training rows a prediction looks at, by which relation, with what weight.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        DataFrame
            A line for each row, relation and neighbour, with the columns row (position in X),
            relation, neighbor (position in the X of fit; -1 is nobody), weight and distance (in the
            relation's own space, as `kneighbors` gives it). Weights are those of the last attention
            layer, the mean of heads and members; those of a row and relation sum to 1, with what
            was left to nobody.

        Raises
        ------
        ValueError
            If the graph is switched off.

        Notes
        -----
        Weights say where the network looks, not by how much a neighbour moves the prediction.

        Examples
        --------
        >>> from sptgnn_sklearn import SpTGNNRegressor
        >>> from sptgnn_sklearn.datasets import make_soil_survey
        >>> survey = make_soil_survey(n_samples=100, random_state=0)
        >>> model = SpTGNNRegressor(time="date", n_members=2, max_epochs=2, base=None)
        >>> looks = model.fit(survey.data, survey.target).attention(survey.data.head(2))
        >>> looks.groupby(["row", "relation"])["weight"].sum().round(6).tolist()
        [1.0, 1.0, 1.0, 1.0]
        """
        table = self._table(X)
        if not self.relations_:
            raise ValueError("There is no attention without a graph: relations_ is empty.")
        explanation = self.ensemble_.explain(table)
        spaces = self.ensemble_.features.relation_spaces(table)
        distances = [
            self._neighbor_distances(spaces[name], name, explanation.neighbors[:, place])
            for place, name in enumerate(self.relations_)
        ]
        there = explanation.neighbors != NO_NEIGHBOR
        return attention_table(
            self.relations_,
            np.where(there, self._merged.rows[explanation.neighbors], -1),
            explanation.attention,
            np.stack(distances, axis=1),
        )

    def expert_weights(self, X):
        """Tell which experts of the mixture serve each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        DataFrame of shape (n_samples, n_members * n_experts)
            Columns (member, expert), the index is that of X. The shares of each member sum to 1,
            and at most `top_k` of them are not 0. Experts of different members have nothing to do
            with each other.

        Raises
        ------
        ValueError
            If there is no mixture of experts.

        Examples
        --------
        >>> from sptgnn_sklearn import SpTGNNRegressor
        >>> from sptgnn_sklearn.datasets import make_soil_survey
        >>> survey = make_soil_survey(n_samples=100, random_state=0)
        >>> model = SpTGNNRegressor(time="date", n_members=2, max_epochs=2, base=None)
        >>> shares = model.fit(survey.data, survey.target).expert_weights(survey.data)
        >>> shares.shape, (shares[0] > 0).sum(axis=1).max()
        ((100, 8), np.int64(2))
        """
        table = self._table(X)
        if not self.n_experts:
            raise ValueError("There is no mixture: n_experts=0.")
        gates = self.ensemble_.explain(table).gates
        return expert_table(gates, X.index if isinstance(X, pd.DataFrame) else None)

    def _html_repr(self):
        """Return scikit-learn's diagram and, once fitted, a table of roles and rows."""
        diagram = estimator_html_repr(self)
        if not hasattr(self, "_merged"):  # the last that fit sets, but for what is told of rows
            return diagram
        ensemble, merged = self.ensemble_, self._merged
        facts = fitted_facts(
            ensemble.features.columns,
            relations=ensemble.relations,
            streams=ensemble.streams,
            weight=merged.weight,
            n_rows=int((merged.inverse >= 0).sum()),
            n_members=ensemble.network.shape.n_members,
            r2=self._held_out_r2(),
        )
        return diagram + table_html(facts)

    def _held_out_r2(self) -> float:
        """R2 of predictions on left-out locations; NaN in a model that was saved without rows."""
        ensemble, merged = self.ensemble_, self._merged
        if ensemble.training is None or not hasattr(self, "oob_prediction_"):
            return np.nan
        parts = ensemble.training.folds
        members = range(ensemble.network.shape.n_members)
        return out_of_fold_r2(
            self.target_.inverse_transform(
                ensemble.context.targets.cpu().numpy().astype(np.float64)
            ),
            self.oob_prediction_[merged.rows],
            merged.weight,
            np.array([parts.held_out(member) for member in members]),
        )

    def to_hetero_data(self):
        """Return the training graph for use with PyTorch Geometric.

        Returns
        -------
        torch_geometric.data.HeteroData
            Nodes "sample" with all streams side by side as ``x`` and the standardised target as
            ``y``; one edge type for each relation, with its edge features as ``edge_attr``.
        """
        check_is_fitted(self)
        return self.ensemble_.to_hetero_data()

    def save(self, path, *, training_data=True, coordinate_grid=None):
        """Write the fitted estimator to one file, from which `load` makes it again.

        The file is a safetensors file with JSON in its metadata, holds no code, and is refused if
        a single byte of it is changed. It appears under its name only when it is complete.

        Parameters
        ----------
        path : path-like
            Such as "model.safetensors"; a file of that name is replaced.
        training_data : bool, default=True
            False leaves out what tells of the training rows beyond what predictions need. Kept are
            the node states, the search vectors, the standardised targets, and each place as the
            middle of its cell of a grid; left out are covariates, exact coordinates, also those in
            the base's trees, and paths of this machine. Predictions change a little, because
            distances do. `oob_prediction_`, `to_hetero_data` and the neighbours of training rows
            are not there after loading.
        coordinate_grid : float, default=None
            Side of a cell in the unit of the coordinates, with ``training_data=False``. None: 0.01
            degrees, or 1000 metres.

        Raises
        ------
        ValueError
            If a part has no form in a file, or places cannot be made coarse.
        OSError
            If the file cannot be written; a file that was there is as it was.

        Notes
        -----
        Without training data, quantiles of each covariate by itself remain, without saying to
        which rows they belong, and so do splits of trees at values of covariates.

        Examples
        --------
        >>> import os, tempfile
        >>> from sptgnn_sklearn import SpTGNNRegressor
        >>> from sptgnn_sklearn.datasets import make_soil_survey
        >>> survey = make_soil_survey(n_samples=100, random_state=0)
        >>> model = SpTGNNRegressor(time="date", n_members=2, max_epochs=2, base=None)
        >>> model = model.fit(survey.data, survey.target)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     model.save(path)
        ...     again = SpTGNNRegressor.load(path)
        >>> bool((again.predict(survey.data) == model.predict(survey.data)).all())
        True
        """
        check_is_fitted(self)
        save_model(
            path,
            self.get_params(deep=False),
            {name: value for name, value in vars(self).items() if _is_learned(name)},
            training_data=training_data,
            coordinate_grid=coordinate_grid,
        )

    @classmethod
    def load(cls, path, *, trusted=()):
        """Make the estimator again that `save` wrote, on a CPU or GPU as `device` says.

        Parameters
        ----------
        path : path-like
        trusted : sequence of str, default=()
            Names of types that a base of the user's own consists of, beyond those of scikit-learn
            and numpy. The error of a first try lists them; pass them if you trust the writer.

        Returns
        -------
        SpTGNNRegressor

        Raises
        ------
        ValueError
            If the file was cut or changed, is none of this package, or needs another version of
            it; the message says which. Nothing in a file is executed.
        OSError
            If there is no such file.
        """
        params, fitted = load_model(path, trusted)
        try:
            model = cls(**params)
        except TypeError as error:
            raise FileError(f"{str(path)!r} has parameters of another version: {error}.") from error
        for name in filter(_is_learned, fitted):
            setattr(model, name, fitted[name])
        return model

    def _neighbor_distances(
        self, points: np.ndarray, relation: str, lists: np.ndarray
    ) -> np.ndarray:
        """Distances (n, K) of points (n, d) to training rows (n, K) in the space of a relation."""
        training = self.ensemble_.knn_graph.spaces[relation]
        distances = np.linalg.norm(points[:, None] - training[lists], axis=-1)
        if relation == "spatial":
            distances = chord_to_distance(distances, self.columns_.reference)
        return np.where(lists == NO_NEIGHBOR, np.inf, distances)

    def _check_parameters(self) -> None:
        for name, known in (("relations", RELATIONS), ("streams", STREAMS)):
            odd = [value for value in getattr(self, name) if value not in known]
            if odd:
                raise ValueError(f"{name}={odd} are not known; choose from {known}.")
        if self.target_bounds is not None:
            sides = [side for side in self.target_bounds if side is not None]
            numbers = all(isinstance(side, Real) for side in sides)
            if len(self.target_bounds) != 2 or not numbers or sides != sorted(set(sides)):
                raise ValueError(
                    f"target_bounds={self.target_bounds!r} must be (low, high) with low below "
                    "high; None leaves a side open."
                )
        check_callbacks(self.callbacks or ())
        if self.images is None:
            needing = {"fine_tune": bool(self.fine_tune)} | {
                f"spectral={name!r}": isinstance(self.spectral, str) and self.spectral == name
                for name in ("embeddings", "indices")
            }
            for what in (what for what, there in needing.items() if there):
                raise ValueError(f"{what} needs images, and images=None.")
        elif self.fine_tune and "imagery" not in self.streams:
            raise ValueError(
                f"fine_tune={self.fine_tune} needs the stream 'imagery'; streams={self.streams!r}."
            )
        if self.checkpoint_dir is not None and self.random_state is None:
            raise ValueError(
                "checkpoint_dir needs a random_state: without one each fit is another one, and "
                "none can go on from where one was cut off. Set it to a number."
            )
        if self.hidden_size % self.n_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} must be a multiple of n_heads={self.n_heads}."
            )

    def _network_settings(self) -> dict[str, Any]:
        return {
            "n_members": self.n_members,
            "hidden_size": self.hidden_size,
            "n_heads": self.n_heads,
            "n_layers": self.n_layers,
            "n_experts": self.n_experts,
            "top_k": self.top_k,
            "messages": self.messages,
            "neighbor_targets": self.neighbor_targets,
            "dropout": self.dropout,
            "feature_dropout": self.feature_dropout,
        }

    def _schedule(self) -> TrainingConfig:
        untaught = self.encoder_weights is None
        return TrainingConfig(
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            n_iter_no_change=self.n_iter_no_change if self.early_stopping else None,
            beta=self.beta,
            moran_weight=self.moran_weight,
            encoder_learning_rate=self.encoder_learning_rate or (1e-3 if untaught else 1e-4),
            layer_decay=self.layer_decay or (1.0 if untaught else 0.75),
            augment=self.augment,
            callbacks=tuple(self.callbacks or ()),
            verbose=int(self.verbose),
            checkpoints=None if self.checkpoint_dir is None else Path(self.checkpoint_dir),
        )

    def _fit_embedder(self, table: SampleTable) -> ChipEmbedder | None:
        if not table.images:
            return None
        return ChipEmbedder.fit(
            table.images,
            image_columns(self.images),
            self.columns_.images,
            encoder=self.encoder,
            weights=self.encoder_weights,
            sha256=self.encoder_sha256,
            chip_size=self.chip_size,
            on_error=self.on_image_error,
            cache_dir=self.cache_dir,
            device=choose_device(self.device),
            n_jobs=self.n_jobs,
            verbose=int(self.verbose),
        )

    def _add_image_features(self, table: SampleTable) -> SampleTable:
        """Read what the chips of a table say; without images the table stays as it is."""
        if self.embedder_ is None:
            return table
        embedding, usable = self.embedder_.embed(table.images)
        indices = None
        if isinstance(self.spectral, str) and self.spectral == "indices":
            indices = self.embedder_.imagery.indices(usable, self.embedder_.workers)
        return replace(table, embedding=embedding, images=usable, indices=indices)

    def _similarity(self) -> str | None:
        if self.spectral is None or isinstance(self.spectral, str):
            return self.spectral
        return "covariates"  # some of them are named

    def _fine_tuning(self) -> FineTuning | None:
        if self.embedder_ is None or not self.fine_tune:
            return None
        stages = True if self.fine_tune is True else int(self.fine_tune)
        return FineTuning(self.embedder_, stages, self.gradient_checkpointing)

    def _reachable_neighbors(self, table: SampleTable) -> int:
        """Neighbours that a row can have: all other places, if n_neighbors is more than that."""
        others = len(np.unique(location_ids(table.coordinates, table.site))) - 1
        if 0 < others < self.n_neighbors and self.relations:
            warnings.warn(
                f"n_neighbors={self.n_neighbors} is more than the {others} other locations; "
                f"{others} are used.",
                UserWarning,
                stacklevel=3,
            )
        return max(1, min(self.n_neighbors, others))

    def _table(self, X: Any) -> SampleTable:
        check_is_fitted(self)
        # The parameter may have been set anew, or the estimator read back on another machine.
        self.ensemble_ = self.ensemble_.to(choose_device(self.device))
        return self._add_image_features(self.columns_.transform(check_predict_input(self, X)))

    def _predict(self, X: Any) -> MemberPredictions:
        table = self._table(X)
        predicted = self.ensemble_.predict(table)
        odd = np.flatnonzero(~np.isfinite(predicted.mean + predicted.variance).all(axis=0))
        if len(odd):
            raise ValueError(
                f"{len(odd)} of {len(table)} rows get no finite prediction (row positions "
                f"{odd[:5].tolist()}): look for extreme values in their columns."
            )
        return predicted

    def _quantiles(self, predicted: MemberPredictions, levels: np.ndarray) -> np.ndarray:
        """Calibrated quantiles (n, q) in standardised units."""
        levels = self.ensemble_.postprocessor.calibration.levels(levels)
        return mixture_quantiles(predicted.mean, np.sqrt(predicted.variance), levels)

    def _interval(self, predicted: MemberPredictions, coverage: float) -> np.ndarray:
        """Conformal limits (n, 2) in the unit of y."""
        low, high = conformal_limits(self.ensemble_.postprocessor.calibration.scores, coverage)
        mean, std = predicted.total
        limits = mean[:, None] + std[:, None] * np.array([low, high])
        return self._clip(self.target_.inverse_transform(limits))

    def _mean_std(self, predicted: MemberPredictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, aleatoric and epistemic standard deviation in the unit of y.

        Each member's moments are moved back to the unit of y before they are taken apart.
        """
        means, variances = self.target_.moments(predicted.mean, predicted.variance)
        return self._clip(means.mean(0)), np.sqrt(variances.mean(0)), means.std(0)

    def _clip(self, values: np.ndarray) -> np.ndarray:
        if self.target_bounds is None:
            return values
        low, high = self.target_bounds
        return np.clip(values, -np.inf if low is None else low, np.inf if high is None else high)


def _is_learned(name: str) -> bool:
    """Tell by its name whether fit sets an attribute."""
    return name == "_merged" or (name.endswith("_") and not name.startswith("_"))
