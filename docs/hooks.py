"""A hook of MkDocs: show `<folder>` in a docstring as it is written, not as an HTML element."""

from typing import Any

from markdown import Extension, Markdown


class WithoutHtml(Extension):
    """Markdown without raw HTML."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Remove what would keep HTML in the text."""
        md.preprocessors.deregister("html_block")
        md.inlinePatterns.deregister("html")


def on_config(config: Any) -> Any:
    """Add the extension to the site's, which mkdocstrings uses too."""
    config.markdown_extensions.append(WithoutHtml())
    return config
