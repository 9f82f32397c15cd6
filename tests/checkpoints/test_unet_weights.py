"""IF's U-Nets are read in all their formats and written; errors name what is wrong."""

import json
import shutil

import chex
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lumiere_jax.checkpoints import read_unet, read_unet_config, write_unet
from lumiere_jax.checkpoints.safetensors_file import TensorInfo
from lumiere_jax.checkpoints.tree import flatten
from lumiere_jax.checkpoints.unet import sample_size, unet_entries
from lumiere_jax.checkpoints.unet_config import config_from_diffusers
from lumiere_jax.models import TemporalConfig, network
from lumiere_jax.models.stunet import inflate, inflate_params

FILE = "diffusion_pytorch_model.safetensors"
STAGE_ONE = {
    "act_fn": "gelu",
    "addition_embed_type": "text",
    "attention_head_dim": 64,
    "cross_attention_norm": "group_norm",
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "resnet_time_scale_shift": "scale_shift",
}
# Fields of stage II beside those of stage I, or instead of them.
STAGE_TWO = {
    "class_embed_type": "timestep",
    "only_cross_attention": True,
    "resnet_out_scale_factor": 1.41423,
    "mid_block_scale_factor": 1.41423,
    "resnet_skip_time_act": True,
    "time_embedding_act_fn": "gelu",
}


@pytest.fixture
def folder(golden, tmp_path):
    """Return a copy of the stage-I folder that a test may damage."""
    return shutil.copytree(golden / "if1_unet", tmp_path / "if1")


def _change(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _same(first, second):
    chex.assert_trees_all_equal(first, second)


class ShapesOnly:
    """A checkpoint of names and shapes, without data."""

    def __init__(self, path):
        self.where = str(path)
        shapes = json.loads(path.read_text())
        self.tensors = {name: TensorInfo(tuple(s), np.dtype("f4")) for name, s in shapes.items()}


@pytest.mark.parametrize(
    ("name", "millions"),
    [("I-192", 371.6), ("I-320", 935.4), ("I-512", None), ("I-704", 4304.7), ("II-L", 1183.6)],
)
def test_every_tensor_of_the_published_models_has_its_place(golden, name, millions):
    source = ShapesOnly(golden / "if_shapes" / f"{name}.json")
    stage_two = name.startswith("II")
    config = config_from_diffusers(STAGE_ONE | (STAGE_TWO if stage_two else {}), source)
    base = source.tensors["conv_in.weight"].shape[0]
    assert config.channels == tuple(
        base * m for m in ((1, 2, 4, 6, 8) if stage_two else (1, 2, 3, 4))
    )
    assert config.blocks == ((2, 2, 3, 5, 5) if stage_two else (3, 3, 3, 3))
    shapes = flatten(network(config).shapes())
    entries = unet_entries(config, shapes)
    assert {entry.name for entry in entries} == set(source.tensors)
    for path, tensor, layout in entries:
        assert layout.shape(source.tensors[tensor].shape) == shapes[path].shape, tensor
    total = sum(leaf.size for leaf in shapes.values())
    assert millions is None or total == pytest.approx(millions * 1e6, abs=5e4)


@pytest.mark.parametrize("stage", ["if1_unet", "if2_unet"])
def test_a_written_folder_has_the_tensors_and_the_configuration_it_was_read_from(
    golden, tmp_path, stage
):
    config, params = read_unet(golden / stage)
    write_unet(tmp_path / "out", config, params, size=64)
    (original,) = (golden / stage).glob("*.safetensors")
    before, after = load_file(original), load_file(tmp_path / "out" / FILE)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        np.testing.assert_array_equal(after[name], tensor)
        assert after[name].dtype == tensor.dtype
    again, found = read_unet(tmp_path / "out")
    assert again == config
    _same(found, params)
    fields = json.loads((golden / stage / "config.json").read_text())
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    for field in ("down_block_types", "up_block_types", "block_out_channels", "in_channels"):
        assert written[field] == fields[field]
    assert written["sample_size"] == 64
    with pytest.raises(FileExistsError, match="not empty"):
        write_unet(tmp_path / "out", config, params)


def test_only_the_spatial_half_of_a_video_model_is_written(golden, tmp_path):
    config, params = read_unet(golden / "if1_unet")
    video = network(inflate(config, TemporalConfig(head_dim=8)))
    inflated = inflate_params(video, params, jax.random.key(0))
    write_unet(tmp_path / "out", video.config, inflated)
    _same(read_unet(tmp_path / "out")[1], params)


def test_half_precision_is_read_as_it_is_stored(folder):
    tensors = load_file(folder / FILE)
    (folder / FILE).unlink()
    halves = {name: tensor.astype(np.float16) for name, tensor in tensors.items()}
    save_file(halves, folder / "diffusion_pytorch_model.fp16.safetensors")
    _, params = read_unet(folder)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float16)}
    _, params = read_unet(folder, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(ml_dtypes.bfloat16)}


def test_a_variant_is_read_only_if_it_is_requested(folder):
    tensors = load_file(folder / FILE)
    halves = {name: tensor.astype(np.float16) for name, tensor in tensors.items()}
    save_file(halves, folder / "diffusion_pytorch_model.fp16.safetensors")
    assert read_unet(folder)[1]["conv_in"]["kernel"].dtype == jnp.float32
    assert read_unet(folder, variant="fp16")[1]["conv_in"]["kernel"].dtype == jnp.float16


def _shard(folder, count=3):
    tensors = load_file(folder / FILE)
    (folder / FILE).unlink()
    names, weight_map = sorted(tensors), {}
    for index in range(count):
        file = f"diffusion_pytorch_model-{index + 1:05}-of-{count:05}.safetensors"
        part = names[index::count]
        save_file({name: tensors[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / f"{FILE}.index.json").write_text(json.dumps(index))


def test_shards_are_read_as_one_checkpoint(folder, golden):
    _shard(folder)
    _same(read_unet(folder)[1], read_unet(golden / "if1_unet")[1])


def test_a_missing_shard_is_named(folder):
    _shard(folder)
    (folder / "diffusion_pytorch_model-00002-of-00003.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="00002-of-00003"):
        read_unet(folder)


def test_parameters_have_the_requested_shardings(folder):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("fsdp",))

    def shardings(shapes):
        def one(leaf):
            spec = ("fsdp",) if leaf.ndim == 1 and leaf.size % 4 == 0 else ()
            return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))

        return jax.tree.map(one, shapes)

    _, params = read_unet(folder, shardings=shardings)
    assert params["conv_in"]["bias"].addressable_shards[1].data.shape == (4,)
    _same(params, read_unet(folder)[1])


def test_the_configuration_of_a_pipeline_folder_is_read_without_its_tensors(folder, tmp_path):
    (tmp_path / "pipeline").mkdir()
    folder.rename(tmp_path / "pipeline" / "unet")
    assert read_unet_config(tmp_path / "pipeline").channels == (16, 24, 32, 40)


def test_deepfloyd_s_queries_keys_and_values_are_separated_per_head(golden):
    _, params = read_unet(golden / "if_original" / "stage1.safetensors")
    stored = load_file(golden / "if_original" / "stage1.safetensors")
    fused = stored["middle_block.1.qkv.weight"][..., 0]  # heads of 16: q, k, v of the first head …
    attention = params["middle_block_0"]["attention"]
    np.testing.assert_array_equal(attention["query"]["kernel"][:, 16:32], fused[48:64].T)
    np.testing.assert_array_equal(attention["key"]["kernel"][:, :16], fused[16:32].T)
    np.testing.assert_array_equal(attention["value"]["kernel"][:, :16], fused[32:48].T)


@pytest.mark.parametrize("stage", [1, 2])
def test_deepfloyd_and_diffusers_configurations_mean_the_same(golden, tmp_path, stage):
    original = golden / "if_original" / f"stage{stage}.safetensors"
    fields = json.loads((golden / "if_original" / f"stage{stage}_config.json").read_text())
    shutil.copy(original, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(fields["diffusers_config"]))
    assert read_unet_config(tmp_path) == read_unet_config(original)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_folder_as_deepfloyd_publishes_it_is_read_by_its_config_yml(golden, tmp_path, stage):
    original = golden / "if_original" / f"stage{stage}.safetensors"
    fields = json.loads((golden / "if_original" / f"stage{stage}_config.json").read_text())
    shutil.copy(original, tmp_path / "pytorch_model.safetensors")
    lines = [f"  {name}: {value!r}" for name, value in fields["original_config"].items()]
    text = "\n".join(["params:", *lines]).replace("True", "true")
    assert "  attention_resolutions: '8'\n" in text
    (tmp_path / "config.yml").write_text(text)
    config, params = read_unet(tmp_path)
    again, expected = read_unet(original)
    assert config == again
    assert config.head_dim == 16  # not the published models' 64
    _same(params, expected)
    assert sample_size(tmp_path) == fields["original_config"]["image_size"]
    (tmp_path / "config.yml").write_text(text.replace("channels: 16", "channels: 24"))
    with pytest.raises(ValueError, match="not divisible by head_dim=24"):
        read_unet_config(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"down_block_types": ["DownBlock2D"] + ["SimpleCrossAttnDownBlock2D"] * 3},
            r"config\.json: down_block_types has the unknown block 'DownBlock2D'",
        ),
        ({"mid_block_type": "UNetMidBlock2D"}, "mid_block_type is 'UNetMidBlock2D'"),
        ({"block_out_channels": [16, 24, 32, 48]}, r"block_out_channels is \[16, 24, 32, 48\]"),
        ({"layers_per_block": 2}, r"layers_per_block is \[2, 2, 2, 2\]"),
        ({"cross_attention_dim": 96}, "cross_attention_dim is 96"),
        ({"class_embed_type": "projection"}, "class_embed_type is 'projection'"),
        ({"only_cross_attention": True}, "only_cross_attention is True"),
        ({"resnet_time_scale_shift": "default"}, "resnet_time_scale_shift is 'default'"),
        ({"act_fn": "mish"}, "act_fn is 'mish'"),
        ({"attention_head_dim": [8, 8, 16, 16]}, "one number for every level"),
        ({"norm_num_groups": 7}, "not divisible by groups=7"),
    ],
)
def test_a_configuration_that_is_not_if_s_is_refused_by_field(folder, fields, message):
    _change(folder, **fields)
    with pytest.raises(ValueError, match=message):
        read_unet(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.pop("mid_block.resnets.1.norm2.bias"),
            r"missing \(1\): mid_block\.resnets\.1\.norm2\.bias",
        ),
        (lambda t: t.update(extra=np.zeros(3)), r"not understood \(1\): extra"),
        (
            lambda t: t.update({"conv_norm_out.weight": np.zeros(17, np.float32)}),
            r"diffusion_pytorch_model\.safetensors: conv_norm_out\.weight is \(17,\)",
        ),
    ],
)
def test_a_wrong_tensor_is_named_with_its_file(folder, change, message):
    tensors = load_file(folder / FILE)
    change(tensors)
    save_file(tensors, folder / FILE)
    with pytest.raises(ValueError, match=message):
        read_unet(folder)


def test_a_truncated_file_is_named_with_the_first_tensor_beyond_its_end(folder):
    data = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(data[:-1000])
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated: .* ends at byte"):
        read_unet(folder)


def test_a_pickle_is_refused_with_the_command_that_converts_it(folder):
    (folder / FILE).rename(folder / "diffusion_pytorch_model.bin")
    with pytest.raises(ValueError, match=r"is a pickle.*torch.load.*_model\.safetensors"):
        read_unet(folder)


def test_a_folder_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no \.safetensors file"):
        read_unet(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read_unet(tmp_path / "nothing")


def test_fields_left_out_have_diffusers_defaults(folder):
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    defaults = {"norm_eps": 1e-5, "resnet_out_scale_factor": 1.0, "encoder_hid_dim_type": None}
    before = read_unet_config(folder)
    for name in [*defaults, "block_out_channels", "layers_per_block", "in_channels", "freq_shift"]:
        del fields[name]
    path.write_text(json.dumps(fields))
    assert read_unet_config(folder) == before


def test_the_middle_keeps_its_own_residual_scale(folder):
    _change(folder, resnet_out_scale_factor=1.5, mid_block_scale_factor=2)
    config = read_unet_config(folder)
    assert (config.residual_scale, config.middle_residual_scale) == (1.5, 2.0)


def test_host_memory_while_reading_is_one_tensor_beside_the_parameters(tmp_path):
    import tracemalloc

    from lumiere_jax.checkpoints.safetensors_file import SafetensorsFile

    tensors = {str(i): np.full((1 << 20,), i, np.float32) for i in range(8)}  # 4 MiB each
    save_file(tensors, tmp_path / "big.safetensors")
    tracemalloc.start()
    file = SafetensorsFile(tmp_path / "big.safetensors")
    for name in file.tensors:
        assert file.read(name)[0] == int(name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 9 << 20
