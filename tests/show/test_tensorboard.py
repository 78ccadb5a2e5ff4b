"""TensorBoard event files hold the run's figures, and a resumed run's once each."""

import pytest
from tests.tiny import tiny_config, tiny_data

from lll import RunStopped, Watch, resume, train
from lll.show.tensorboard import with_tensorboard

pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_event_files_hold_the_metrics_over_a_stop(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = []
    stop = Watch(on_epoch=lambda metrics, _: done.append(metrics), should_stop=lambda: bool(done))
    path = tmp_path / "run"
    with pytest.raises(RunStopped):
        train(tiny_config(), path, data=tiny_data(), watch=with_tensorboard(stop))
    run = resume(path, data=tiny_data(), watch=with_tensorboard(Watch()))
    events = EventAccumulator(str(path / "tensorboard")).Reload()
    for name in ("contrast_loss", "test_accuracy", "labels_known"):
        written = [(e.step, e.value) for e in events.Scalars(name)]
        assert written == [(m["epoch"], pytest.approx(m[name])) for m in run.metrics]
