"""The style of our part of a window's page. It does not reach Evidently's part, but for a light background."""

from __future__ import annotations

STYLE = """
:root { --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0; --paper: #fff; --card: #f6f8fa;
  --Passed: #1a7f37; --Failed: #cf222e; --Inconclusive: #9a6700; --link: #0969da; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --paper: #0d1117;
  --card: #151b23; --Passed: #3fb950; --Failed: #f85149; --Inconclusive: #d29922; --link: #58a6ff; }
  html, body { background: var(--paper); }
  [id^="root_"] { background: #fff; color-scheme: light; } }
body { margin: 0; }
#gauntlet { box-sizing: border-box; max-width: 60rem; margin: 0 auto; padding: 1.2rem 1rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
#gauntlet h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
#gauntlet h2 { display: flex; flex-wrap: wrap; gap: .25rem .6rem; align-items: baseline; font-size: 1.1rem; margin: 0; }
#gauntlet p { margin: .35rem 0; } #gauntlet .headline { font-size: 1.15rem; }
#gauntlet .soft { color: var(--soft); } #gauntlet a { color: var(--link); }
#gauntlet section { border: 1px solid var(--line); border-radius: 8px; padding: .75rem 1rem; margin: .7rem 0;
  background: var(--card); }
#gauntlet .badge { font-size: .8rem; font-weight: 600; padding: .05rem .55rem; border: 1px solid currentColor;
  border-radius: 1rem; color: var(--soft); }
#gauntlet .Passed { color: var(--Passed); } #gauntlet .Failed { color: var(--Failed); }
#gauntlet .Inconclusive { color: var(--Inconclusive); }
#gauntlet summary { cursor: pointer; font-weight: 600; margin: .9rem 0 .3rem; }
#gauntlet .scroll { overflow-x: auto; }
#gauntlet table { border-collapse: collapse; }
#gauntlet th, #gauntlet td { text-align: left; padding: .2rem .9rem .2rem 0; vertical-align: top;
  overflow-wrap: normal; }
#gauntlet th { color: var(--soft); font-size: .85rem; font-weight: 600; }
#gauntlet td { font-variant-numeric: tabular-nums; } #gauntlet .number { text-align: right; }
@media (max-width: 30rem) { #gauntlet table { font-size: .85rem; }
  #gauntlet th, #gauntlet td { padding-right: .5rem; } }
"""
