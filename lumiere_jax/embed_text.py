"""Embed the captions of prepared clips ahead of training.

    python -m lumiere_jax.embed_text --source=clips/ --model=models/if --output=clips-with-text/

--source is a folder of `lumiere_jax.prepare`. --model is a model folder with a text encoder, or a
T5 of Hugging Face or t5x. --output is a folder of the same clips in which each record also has its
caption's embedding: train from it with --config.data.text=embeddings. Models that see padding
(DeepFloyd IF) need every row, --whole; others store captions at their true length. Run the same
command again to resume after an interruption. A folder that another encoder made is refused.
--prompt="…" stores the embedding of a text beside the clips too, for --config.train.sample_prompts.
If --source is a folder of pictures of a style, --output is the same folder: the embeddings of the
captions are stored beside the pictures.
"""

from __future__ import annotations

from absl import flags

from lumiere_jax.one_line_errors import define_path, run


def define_flags() -> None:
    """Define the flags, only if this file is the program."""
    define_path(
        "source", None, "Folder of prepared clips, or of pictures of a style.", required=True
    )
    define_path("model", None, "Model folder, or a T5 folder.", required=True)
    define_path(
        "output",
        None,
        "Folder to write; new or interrupted. For pictures: the same folder.",
        required=True,
    )
    flags.DEFINE_bool("whole", None, "Store padding too; by default if the model's U-Net sees it.")
    flags.DEFINE_integer("length", None, "Tokens of a caption; by default the model's.")
    flags.DEFINE_integer("batch_size", 64, "Captions encoded at once.")
    dtypes = ["float16", "float32"]
    flags.DEFINE_enum("dtype", "float16", dtypes, "Dtype of the stored embeddings.")
    flags.DEFINE_multi_string(
        "prompt", [], "Text to embed as well, for --config.train.sample_prompts; may be repeated."
    )


def main(_: list[str]) -> None:
    """Embed the captions of the clips that the flags name."""
    from lumiere_jax.preparation.embedding import embed_text

    names = ("source", "model", "output", "whole", "length", "batch_size", "dtype")
    values = {name: flags.FLAGS[name].value for name in names}
    index = embed_text(**values, prompts=flags.FLAGS.prompt)
    if "pictures" in index["counts"]:
        print(f"embeddings of {index['counts']['pictures']} captions in {values['output']}")
        return
    clips, text = index["counts"]["clips"], index["text"]
    if text.get("cut"):
        print(
            f"{text['cut']} of {clips} captions have more than {text['length']} tokens; the rest "
            "is not read (--length)"
        )
    print(f"{clips} clips with embeddings in {values['output']}")
    if flags.FLAGS.prompt:
        print(f"{len(flags.FLAGS.prompt)} prompts beside them")


if __name__ == "__main__":
    define_flags()
    run(main)
