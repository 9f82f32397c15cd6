"""`python -m lumiere_jax.convert` makes a video model of IF and writes it back."""

import shutil
import subprocess
import sys
import zipfile

import chex
import jax
import pytest

from lumiere_jax.checkpoints import (
    Model,
    Part,
    read_model,
    read_t5,
    read_unet,
    write_model,
    write_unet,
)
from lumiere_jax.checkpoints.inflation import check_inflation, parameter_table
from lumiere_jax.checkpoints.tree import flatten, unflatten
from lumiere_jax.convert import Conversion, convert
from lumiere_jax.models import T5Config, TemporalConfig, network
from lumiere_jax.models.stunet import inflate
from lumiere_jax.sampling import StageConfig
from lumiere_jax.structure import from_dict


def _run(source="model", target="model", **values):
    convert(Conversion(source=source, target=target, **values))


@pytest.fixture
def folder(golden, tmp_path):
    """Return a small diffusers folder with two levels."""
    config, params = read_unet(golden / "if_original" / "stage1.safetensors")
    write_unet(tmp_path / "unet", config, params, size=16)
    return tmp_path / "unet"


def _same(first, second):
    chex.assert_trees_all_equal(first, second)


def test_an_image_folder_becomes_a_video_model_and_comes_back(folder, tmp_path, capsys):
    output = str(tmp_path / "video")
    _run("diffusers", path=folder, output=output, inflate=True, frames=4)
    printed = capsys.readouterr().out
    config, params = read_unet(folder)
    spatial = sum(leaf.size for leaf in jax.tree.leaves(params))
    total = next(line for line in printed.splitlines() if line.startswith("total"))
    assert total.split()[1] == f"{spatial:,}"
    assert "1 frame in 2 is the image model's" in printed
    assert printed.strip().endswith(f"done: {output}")
    part = read_model(output).parts["base"]
    assert part.config == inflate(config, TemporalConfig(head_dim=16))
    assert (part.settings["size"], part.settings["frames"]) == (16, 4)
    assert from_dict(StageConfig, part.settings).sampler.variance == "small"
    _run(target="diffusers", path=output, output=str(tmp_path / "back"))
    again, found = read_unet(tmp_path / "back")
    assert again == config
    _same(found, params)


def test_a_pipeline_brings_its_text_encoder(golden, folder, tmp_path, capsys):
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    folder.rename(pipeline / "unet")
    narrow = shutil.copytree(golden / "t5_hf", pipeline / "text_encoder")
    with pytest.raises(ValueError, match="reads text states of width 48, but the encoder's are 64"):
        _run("diffusers", path=pipeline, output=str(tmp_path / "model"))
    shutil.rmtree(narrow)
    _run("diffusers", path=pipeline, output=str(tmp_path / "model"))
    model = read_model(tmp_path / "model")
    settings = from_dict(StageConfig, model.parts["base"].settings)
    assert settings.diffusion.schedule == "discrete_cosine"
    assert (settings.size, settings.frames) == (16, 1)


def test_t5_goes_from_t5x_to_a_model_folder_and_back(golden, tmp_path, capsys):
    with zipfile.ZipFile(golden / "t5x" / "checkpoint_1000.zip") as archive:
        archive.extractall(tmp_path)
    source = tmp_path / "checkpoint_1000"
    _run("t5x", path=source, output=str(tmp_path / "model"))
    assert "missing: the encoder's tokenizer" in capsys.readouterr().out
    _run(target="t5x", path=tmp_path / "model", output=str(tmp_path / "again"))
    _same(read_t5(tmp_path / "again")[1], read_t5(source)[1])


def test_a_wrong_inflation_is_refused(folder):
    config, params = read_unet(folder)
    video = network(inflate(config, TemporalConfig(head_dim=16)))
    inflated = flatten(video.init(jax.random.key(0), given=params))
    name = next(path for path in inflated if path.endswith("temporal/projection/kernel"))
    wrong = unflatten(inflated | {name: inflated[name] + 0.1})
    with pytest.raises(ValueError, match="differ from the image model's"):
        check_inflation(Part(config=video.config, params=wrong))


def test_the_table_counts_every_parameter_once(folder):
    config, _ = read_unet(folder)
    video = network(inflate(config, TemporalConfig(head_dim=16)))
    tree = video.shapes()
    total = parameter_table(tree).splitlines()[-1].split()
    temporal = int(total[2].replace(",", ""))
    assert temporal + int(total[1].replace(",", "")) == sum(
        leaf.size for leaf in jax.tree.leaves(tree)
    )
    assert temporal > 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"inflate": True, "frames": 5}, "--frames=5 is not divisible by 2; --frames=4 is"),
        ({"inflate": True, "size": 17}, "--size=17 is not divisible by 2; --size=16 is"),
    ],
)
def test_the_error_for_a_size_that_the_resizes_do_not_divide_names_one_that_they_do(
    folder, tmp_path, flags, message
):
    with pytest.raises(ValueError, match=message):
        _run("diffusers", path=folder, output=str(tmp_path / "out"), **flags)


def test_the_error_for_a_missing_network_lists_the_existing_ones(tmp_path):
    config = T5Config(vocabulary_size=20, width=8, feed_forward=16, heads=2, layers=1, head_dim=4)
    part = Part(config=config, params=network(config).init(jax.random.key(0)))
    write_model(tmp_path / "model", Model(parts={"text": part}))
    with pytest.raises(ValueError, match="no U-Nets"):
        _run(target="diffusers", path=tmp_path / "model", output=str(tmp_path / "out"))


def test_errors_are_one_line_from_the_command_line(folder, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    command = [sys.executable, "-m", "lumiere_jax.convert", "--from=diffusers"]
    command += [f"--path={folder}", f"--output={tmp_path / 'full'}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: --output=")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "full" / "file").read_text() == "mine"


def test_a_file_among_several_is_named_by_path_or_variant(folder, tmp_path):
    plain = folder / "diffusion_pytorch_model.safetensors"
    shutil.copy(plain, folder / "diffusion_pytorch_model.fp16.safetensors")
    other = shutil.copy(plain, folder / "mine.safetensors")
    with pytest.raises(ValueError, match=r"several checkpoints .* --path=.*/diffusion"):
        _run("diffusers", path=folder, output=str(tmp_path / "a"))
    assert not (tmp_path / "a").exists()
    _run("diffusers", path=folder, output=str(tmp_path / "b"), variant="fp16")
    _run("diffusers", path=str(other), output=str(tmp_path / "c"))
    _same(read_model(tmp_path / "b").parts["base"].params, read_unet(plain)[1])


def test_an_output_that_is_a_file_or_too_small_is_refused_before_anything_is_read(
    golden, tmp_path, monkeypatch
):
    def never(*_, **__):
        raise AssertionError("read before the output was checked")

    monkeypatch.setattr("lumiere_jax.convert._read", never)
    (tmp_path / "file").write_text("mine")
    path = golden / "if1_unet"
    with pytest.raises(FileExistsError, match="is not a folder"):
        _run("diffusers", path=path, output=str(tmp_path / "file"))
    full = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    with pytest.raises(OSError, match="MiB are needed"):
        _run("diffusers", path=path, output=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_no_tokenizer_is_taken_from_the_current_folder(golden, tmp_path, monkeypatch, capsys):
    shutil.copytree(golden / "t5_hf", tmp_path / "here" / "t5")
    shutil.copy("data/words/spiece.model", tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    _run("huggingface", path="t5", output="out")
    assert not (tmp_path / "here" / "out" / "spiece.model").exists()
    assert (
        "missing: the encoder's tokenizer; copy it to out/spiece.model" in capsys.readouterr().out
    )
    shutil.copy("spiece.model", "t5")  # 384 pieces, and the encoder has 200 rows
    with pytest.raises(ValueError, match="384 tokens"):
        _run("huggingface", path="t5", output="out2")


@pytest.mark.parametrize(
    "text", ["[1, 2]", "a: &x [1]\nb: *x", "a: [" * 3000, "!!python/name:x", ""]
)
def test_a_yaml_that_is_not_a_plain_mapping_is_named(golden, tmp_path, text):
    (tmp_path / "m").mkdir()
    shutil.copy(golden / "if_original" / "stage1.safetensors", tmp_path / "m")
    (tmp_path / "m" / "config.yml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yml is not") as caught:
        read_unet(tmp_path / "m")
    assert "\n" not in str(caught.value)
