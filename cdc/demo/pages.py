"""The look of the demo's pages: plain HTML that reloads itself, without scripts and without anything from outside."""

from __future__ import annotations

from html import escape

POLICY = ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
_STYLE = """
  :root { color-scheme: light dark; }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-weight: 600; margin-bottom: 0; }
  h2 { font-weight: 600; font-size: 1.15rem; margin: 0; }
  p { color: GrayText; margin: .25rem 0 .75rem; }
  a { color: inherit; text-decoration-color: #8886; text-underline-offset: .2em; }
  table { border-collapse: collapse; width: 100%; }
  th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
  th { font-weight: 600; }
  td:first-child { font-variant-numeric: tabular-nums; white-space: nowrap; }
  .number { text-align: right; font-variant-numeric: tabular-nums; }
  .cancelled td { text-decoration: line-through; color: GrayText; }
  .cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 32rem), 1fr)); gap: 1.25rem;
    margin-top: 1.25rem; }
  section { border: 1px solid #8884; border-radius: .6rem; padding: 1rem 1.25rem; min-width: 0; overflow: hidden; }
  ul { list-style: none; margin: 0; padding: 0; }
  li { padding: .3rem 0; border-bottom: 1px solid #8884; overflow-wrap: anywhere; }
  svg { display: block; width: 100%; background: #8881; border-radius: .4rem; margin-bottom: .75rem; }
  polygon { fill: hsl(var(--hue) 60% 55% / .35); stroke: hsl(var(--hue) 60% 45%); stroke-width: 1.5; }
"""


_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="2">
"""


def page(title: str, body: str) -> str:
    """A whole page; ``body`` is HTML."""
    named = escape(title)
    return f"{_HEAD}<title>{named}</title>\n<style>{_STYLE}</style>\n<h1>{named}</h1>\n{body}\n</html>\n"
