"""`Predictor` says what `lll predict` says, of every kind of column, in any process."""

import io
import pickle
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from tests.tiny import tiny_config, tiny_data

from lll import Predictor, UserError, train
from lll.runs.predict import predict_files


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = tiny_config(method="baseline", epochs=8, classes="4", labels="1")
    return train(config, tmp_path_factory.mktemp("predictor") / "run", data=tiny_data())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Test images of every class as PNG files."""
    folder = tmp_path_factory.mktemp("files")
    for number, image in enumerate(tiny_data().test.images[::5]):
        Image.fromarray(image).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def expected(run, files):
    found = predict_files(run, files)[0]
    return [p.class_name for p in found], [p.probability for p in found]


def opened(path):
    with Image.open(path) as image:
        image.load()
    return image


COLUMNS = {
    "paths": lambda files: list(map(str, files)),
    "bytes": lambda files: [path.read_bytes() for path in files],
    "of-spark-rows": lambda files: [bytearray(path.read_bytes()) for path in files],
    "hugging-face": lambda files: [{"bytes": path.read_bytes(), "path": None} for path in files],
    "pillow": lambda files: [opened(path) for path in files],
    "array": lambda files: np.stack([np.asarray(opened(path)) for path in files]),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_of_every_kind_of_column(column, run, files, expected):
    before = pickle.loads(pickle.dumps(Predictor(run.path, column="x", keep=["id"])))
    batch = {"x": COLUMNS[column](files), "id": list(range(len(files)))}
    first = before(batch)
    again = pickle.loads(pickle.dumps(before))(batch)  # once its network is loaded
    for answer in (first, again):
        assert list(answer) == ["id", "prediction", "probability"]
        assert answer["id"] == batch["id"]
        assert answer["prediction"] == expected[0]
        assert answer["probability"] == pytest.approx(expected[1], abs=1e-6)
    assert len(set(expected[0])) > 1


def test_what_is_no_image_has_no_answer_and_costs_the_others_nothing(run, files, expected):
    broken = files[0].read_bytes()[:60]
    batch = {
        "image": [broken, files[0].read_bytes(), None, "absent.png", {"bytes": None, "path": None}]
    }
    answer = Predictor(run)(batch)
    assert answer["prediction"] == [None, expected[0][0], None, None, None]
    assert [p is None for p in answer["probability"]] == [True, False, True, True, True]
    assert Predictor(run)({"image": []}) == {"prediction": [], "probability": []}


def test_grey_arrays_are_as_their_files(run):
    grey = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "png")
    answers = Predictor(run)({"image": [grey, grey[..., None], buffer.getvalue()]})
    assert len(set(answers["probability"])) == 1


def test_bad_input(run, tmp_path):
    with pytest.raises(UserError, match="no run folder here"):
        Predictor(tmp_path)
    with pytest.raises(UserError, match="no column 'image' in the batch: it has img"):
        Predictor(run)({"img": []})
    with pytest.raises(UserError, match="column 'image' holds ndarray of float64"):
        Predictor(run)({"image": np.zeros((2, 8, 8, 3))})


def test_in_datasets_map(run, files, expected):
    datasets = pytest.importorskip("datasets", reason="needs Hugging Face's datasets")
    data = datasets.Dataset.from_dict({"image": list(map(str, files))})
    for table in (data, data.cast_column("image", datasets.Image())):
        found = table.map(Predictor(run.path), batched=True, batch_size=3)
        assert found["prediction"][:] == expected[0]
        assert found["probability"][:] == pytest.approx(expected[1], abs=1e-6)


@pytest.mark.filterwarnings("ignore")  # of Ray, about itself
def test_in_ray_data(run, files, expected):
    ray = pytest.importorskip("ray", reason="needs Ray")
    pytest.importorskip("ray.data", reason="needs Ray Data")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        rows = [{"id": str(path), "image": path.read_bytes()} for path in files]
        found = ray.data.from_items(rows).map_batches(
            Predictor, fn_constructor_args=(run.path,), fn_constructor_kwargs={"keep": ["id"]},
            concurrency=1, batch_size=3,
        )  # fmt: skip
        named = {row["id"]: row["prediction"] for row in found.take_all()}
    finally:
        ray.shutdown()
    assert named == dict(zip(map(str, files), expected[0], strict=True))


@pytest.mark.filterwarnings("ignore")  # of Spark, about itself
def test_in_spark(run, files, expected, monkeypatch):
    sql = pytest.importorskip("pyspark.sql", reason="needs Spark")
    if shutil.which("java") is None:
        pytest.skip("needs Java")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    predictor = Predictor(run.path, keep=["id"])

    def answers(frames):
        import pandas

        for frame in frames:
            yield pandas.DataFrame(predictor(frame.to_dict("list")))

    spark = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", False)
    session = spark.getOrCreate()
    try:
        rows = [(str(path), path.read_bytes()) for path in files]
        frame = session.createDataFrame(rows, "id string, image binary")
        told = frame.mapInPandas(answers, "id string, prediction string, probability double")
        named = {row["id"]: row["prediction"] for row in told.collect()}
    finally:
        session.stop()
    assert named == dict(zip(map(str, files), expected[0], strict=True))
