"""Flags become one call of a method of Lumiere, or an error of one line."""

import pytest
from absl import flags

from lumiere_jax import sample_flags


@pytest.fixture
def parse(monkeypatch):
    """Parse a command line of the given flags."""

    def parsed(*arguments):
        values = flags.FlagValues()
        sample_flags.define(values)
        values(["sample", *arguments])
        monkeypatch.setattr(sample_flags, "FLAGS", values)
        return sample_flags

    return parsed


def test_every_application_has_a_method_and_takes_what_its_flags_say():
    import inspect

    from lumiere_jax.lumiere import Lumiere

    names = {"box": "boxes", "polygon": "polygons", "shot": None, "conditioning": None}
    for method, _, uses in sample_flags.APPLICATIONS.values():
        parameters = inspect.signature(getattr(Lumiere, method)).parameters
        wanted = {names.get(name, name) for name in uses} - {None}
        assert wanted <= set(parameters), method


@pytest.mark.parametrize(
    ("arguments", "method", "main", "options"),
    [
        ([], "text_to_video", [], {}),
        (["--shot=a", "--shot=b"], "text_to_video", [], {"shots": ["a", "b"]}),
        (
            ["--application=image_to_video", "--image=x.png", "--conditioning=free"],
            "image_to_video",
            ["x.png"],
            {"conditioning": "free"},
        ),
        (
            ["--application=inpaint", "--video=x.mp4", "--box=1,2,3,4", "--polygon=0,0 4,0 4,4"],
            "inpaint",
            ["x.mp4"],
            {"boxes": [(1, 2, 3, 4)], "polygons": [[(0, 0), (4, 0), (4, 4)]]},
        ),
        (
            ["--application=outpaint", "--video=x.mp4", "--aspect=16:9"],
            "outpaint",
            ["x.mp4"],
            {"aspect": 16 / 9},
        ),
        (
            ["--application=outpaint", "--video=x.mp4", "--padding=8,0,8,0", "--frames=4"],
            "outpaint",
            ["x.mp4"],
            {"padding": (8, 0, 8, 0), "frames": 4},
        ),
        (
            ["--application=stylize", "--style=s", "--alpha=0,0.5"],
            "stylize",
            ["s"],
            {"alpha": [0, 0.5]},
        ),
        (
            ["--application=continuation", "--video=x.mp4", "--keep=3"],
            "continue_video",
            ["x.mp4"],
            {"keep": 3},
        ),
        (["--upscale=x.mp4", "--negative_prompt=b"], "upscale", ["x.mp4"], {"negative": "b"}),
    ],
)
def test_flags_become_a_call(parse, arguments, method, main, options):
    parsed = parse(*arguments)
    assert parsed.method() == method
    assert parsed.arguments() == (main, options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--application=cinemagraph"], "needs --image, such as photo.jpg"),
        (["--strength=0.5"], "--strength is not used by --application=text_to_video"),
        (["--upscale=x.mp4", "--mask=m.png"], "--mask is not used by --application=upscale"),
        (["--application=outpaint", "--video=v", "--aspect=wide"], "'wide' is not a number"),
        (["--application=outpaint", "--video=v", "--padding=1,2"], "2 numbers, expected 4"),
        (["--application=inpaint", "--video=v", "--polygon=1,2,3"], "corners are x,y each"),
    ],
)
def test_flags_that_make_no_sense_are_named(parse, arguments, message):
    with pytest.raises(ValueError, match=message):
        parse(*arguments).arguments()


def test_the_last_prompts_stand_for_shots_without_one(parse):
    assert parse("--prompt=a", "--prompt=b").read_prompts() == ["a", "b"]
    assert parse("--shot=a", "--shot=b").read_prompts() == ["a, then b"]
    assert parse("--upscale=clip.mp4").read_prompts() == [""]
    with pytest.raises(ValueError, match="a prompt is missing"):
        parse().read_prompts()


def test_settings_of_all_stages_and_of_single_ones(parse):
    parsed = parse("--steps=5", "--set=ssr.steps=10", "--set=base.overlap=4", "--window=8")
    assert parsed.sampler_changes() == ({"steps": 5}, {"ssr": {"steps": 10}})
    assert parsed.stage_changes(["ssr"]) == {"ssr": {"window": 8}, "base": {"overlap": 4}}
    with pytest.raises(ValueError, match="--window: this model has no super-resolution"):
        parsed.stage_changes([])
    for wrong, message in (("ssr", "expected STAGE.SETTING"), ("ssr.steps=ten", "expected int")):
        with pytest.raises(ValueError, match=message):
            parse(f"--set={wrong}").sampler_changes()
