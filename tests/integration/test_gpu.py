"""Tests of the GPU against the CPU; skipped without a GPU."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from small_models import make_regressor

from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.network.message_passing import (
    DistanceLogits,
    SourceFeatures,
    aggregate,
    distance_grid,
)
from sptgnn_sklearn.training.loop import MemberNet

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

SURVEY = make_soil_survey(n_samples=1200, random_state=0)
X, Y = SURVEY.data[:1000], SURVEY.target[:1000]
X_NEW = SURVEY.data[1000:]
GIB = 2**30


def model(**changes):
    """Return a small ensemble on the GPU."""
    settings = {
        "time": "date",
        "elevation": "elevation",
        "base_estimator": None,
        "n_estimators": 3,
        "max_epochs": 4,
        "device": "cuda",
        "random_state": 0,
    }
    return make_regressor(**{**settings, **changes})


@pytest.fixture(scope="module")
def fitted():
    return model().fit(X, Y)


def test_gpu_model_predicts_on_cpu(fitted):
    """Predictions agree within 1e-4 of the target's standard deviation."""
    gpu = fitted.predict_uncertainty(X_NEW)
    state = pickle.dumps(fitted)
    cpu = pickle.loads(state).set_params(device="cpu").predict_uncertainty(X_NEW)
    assert {str(p.device) for p in fitted.ensemble_.network.parameters()} == {"cuda:0"}
    for name in ("mean", "std", "aleatoric", "epistemic"):
        np.testing.assert_allclose(cpu[name], gpu[name], rtol=0, atol=1e-4 * np.std(Y))


def test_two_layers_and_attention_weights(fitted):
    """Two attention layers and `attention_weights` run on the GPU."""
    two_layers = model(n_layers=2, max_epochs=2).fit(X, Y)
    assert np.isfinite(two_layers.predict(X_NEW)).all()
    attention = fitted.attention_weights(X_NEW[:20])
    assert len(attention) > 0


def test_gpu_training_is_close_to_cpu_training():
    """Dropout draws and precision differ, skill does not."""
    cpu, gpu = model(device="cpu").fit(X, Y), model().fit(X, Y)
    difference = cpu.predict(X_NEW) - gpu.predict(X_NEW)
    assert np.sqrt(np.mean(difference**2)) < 0.2 * np.std(Y)


def test_message_passing_equals_cpu():
    """Values and derivatives of both implementations agree."""
    torch.manual_seed(0)
    m, r, b, k, n, d, h, f = 2, 3, 40, 7, 50, 16, 4, 2
    n_grid = len(distance_grid(torch.zeros(1)))
    source_index = torch.randint(-1, n, (m, r, b, k))
    learned = [torch.randn(m, r, b, h), torch.randn(m, r, d, h), torch.randn(m, r, f, n_grid, h)]
    states, extra = torch.randn(m, n, d), torch.randn(m, n, 3)
    fixed = [source_index, torch.randn(m, r, b, k, f), source_index >= 0]
    results = []
    for device in ("cpu", "cuda"):
        query, key, grid_logits = (v.to(device, copy=True).requires_grad_() for v in learned)
        source_features = SourceFeatures.from_nodes(states.to(device), extra.to(device))
        rest = [v.to(device) for v in fixed]
        aggregated = aggregate(
            query, key, DistanceLogits(grid_logits), source_features, *rest, messages=True
        )
        (aggregated.states.square().sum() + aggregated.sums.square().sum()).backward()
        values = (*aggregated, query.grad, key.grad, grid_logits.grad)
        results.append([value.detach().cpu() for value in values])
    for cpu, gpu in zip(*results, strict=True):
        torch.testing.assert_close(cpu, gpu, rtol=1e-4, atol=1e-4)


def test_training_steps_do_not_synchronize(monkeypatch):
    """No transfer or synchronization between batches."""
    original = MemberNet.run_single_epoch

    class SyncForbidden:
        """Batches between which any synchronization with the GPU raises an error."""

        def __init__(self, batches):
            self.batches = batches

        def __iter__(self):
            for batch in self.batches:
                yield batch
                torch.cuda.set_sync_debug_mode("error")
            torch.cuda.set_sync_debug_mode("default")

    def run_without_sync(self, iterator, *args, **kwargs):
        return original(self, iterator and SyncForbidden(iterator), *args, **kwargs)

    monkeypatch.setattr(MemberNet, "run_single_epoch", run_without_sync)
    try:
        model().fit(X, Y)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_out_of_memory_halves_the_batch():
    """A fit that runs out of GPU memory warns and succeeds with smaller batches."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.2 * GIB / torch.cuda.mem_get_info()[1])
    try:
        with pytest.warns(UserWarning, match="too little memory for batches"):
            fitted = model(batch_size=900, hidden_size=512, n_neighbors=30, max_epochs=2).fit(X, Y)
        assert np.isfinite(fitted.predict(X_NEW)).all()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_interrupted_training_resumes(tmp_path):
    """The fit resumes from a checkpoint, with the best weights on the GPU."""

    class Interrupted(Exception):
        """Error that ends a fit."""

    class InterruptFit(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) > 2:
                raise Interrupted

    with pytest.raises(Interrupted):
        model(checkpoint_dir=tmp_path, callbacks=[InterruptFit()]).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = model(checkpoint_dir=tmp_path).fit(X, Y)
    assert len(fitted.history_) == 4
    assert np.isfinite(fitted.predict(X_NEW)).all()
