"""How the pages look, and the little that moves on them."""

# Series have the colours of Okabe and Ito, told apart with any colour vision.
STYLE = """
:root {
  --paper: #fff; --ink: #1b2430; --faint: #5b6675; --line: #d9dee5; --panel: #f5f7f9;
  --s0: #0072b2; --s1: #d55e00; --s2: #009e73; --s3: #aa4b80; --s4: #a06a00; --s5: #2b8cc4;
  --s6: #444;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --ink: #e4e8ed; --faint: #9aa5b1; --line: #323a44; --panel: #1d232a;
    --s0: #56b4e9; --s1: #f0813a; --s2: #2cc79a; --s3: #dd92bb; --s4: #e69f00; --s5: #8fd0f5;
    --s6: #bbb;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 76rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  overflow-wrap: anywhere;
}
header { border-bottom: 1px solid var(--line); margin-bottom: 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
h4 { font-size: .9rem; margin: 0; }
p { margin: 0 0 1rem; }
header p, caption, figcaption, .below, .note { color: var(--faint); font-size: .9rem; }
.cards {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .75rem;
}
.cards, .facts { margin: 0 0 1rem; }
.cards > div { background: var(--panel); border-radius: .5rem; padding: .75rem 1rem; }
.cards dt { font-size: .85rem; color: var(--faint); }
dd { margin: 0; }
.figure { font-size: 1.6rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.facts > div {
  display: grid; grid-template-columns: minmax(8rem, 16rem) 1fr; gap: 0 1rem; padding: .3rem 0;
  border-bottom: 1px solid var(--line);
}
.facts dt { color: var(--faint); }
.scroll { overflow-x: auto; margin-bottom: 1.25rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .35rem .9rem .35rem 0; text-align: left; border-bottom: 1px solid var(--line); }
thead th {
  vertical-align: bottom; color: var(--faint); font-weight: 600; overflow-wrap: normal;
}
tbody th { font-weight: 500; min-width: 8rem; }
.numbers td, .numbers thead th:not(:first-child) { text-align: right; padding: .35rem .6rem; }
.numbers td { white-space: nowrap; }
.charts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr));
  gap: 1.5rem;
}
figure { margin: 0; min-width: 0; break-inside: avoid; }
.chart { max-width: 36rem; }
.map svg { max-width: 32rem; }
figcaption { margin-top: .4rem; }
svg { display: block; width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--faint); }
.sign {
  display: inline-block; width: 1.4rem; height: .75rem; margin-right: .4rem;
  vertical-align: middle;
}
.grid { stroke: var(--line); stroke-width: 1; }
.area { fill-opacity: .22; stroke-width: 1.75; stroke-linejoin: round; }
.curve { fill: none; stroke-width: 1.75; stroke-linejoin: round; }
.s0 { fill: var(--s0); stroke: var(--s0); } .s1 { fill: var(--s1); stroke: var(--s1); }
.s2 { fill: var(--s2); stroke: var(--s2); } .s3 { fill: var(--s3); stroke: var(--s3); }
.s4 { fill: var(--s4); stroke: var(--s4); } .s5 { fill: var(--s5); stroke: var(--s5); }
.s6 { fill: var(--s6); stroke: var(--s6); }
.curve.s0, .curve.s1, .curve.s2, .curve.s3, .curve.s4, .curve.s5, .curve.s6 { fill: none; }
.dashed { stroke-dasharray: 6 4; }
.mark { stroke: var(--faint); stroke-dasharray: 2 3; }
.key {
  display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .4rem 0 0; padding: 0;
  list-style: none; font-size: .85rem;
}
.swatch {
  display: inline-block; width: 1.5rem; height: .8rem; margin-right: .4rem;
  vertical-align: -.05rem; border: 1px solid var(--faint); border-radius: .15rem;
}
.pictures {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr));
  gap: 2rem 1.5rem;
}
/* The whole picture is seen at once: --shape is its width by its height. */
.view { max-width: max(20rem, 85vh * var(--shape)); }
.compare .stage {
  position: relative; overflow: hidden; max-width: calc(85vh * var(--shape)); margin: .4rem 0;
  border-radius: .4rem; background: #181818; --at: 50%;
}
.compare img { display: block; width: 100%; height: auto; }
.compare .layer { position: absolute; inset: 0; height: 100%; visibility: hidden; }
.compare .left { visibility: visible; clip-path: inset(0 calc(100% - var(--at)) 0 0); }
.compare .right { visibility: visible; clip-path: inset(0 0 0 var(--at)); }
.compare .left.right { clip-path: none; }
.bar {
  position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 3px #000; pointer-events: none;
}
.bar::after {
  content: "\\2194"; position: absolute; top: 50%; left: 50%; width: 2rem; height: 2rem;
  margin: -1rem; border-radius: 50%; background: #fff; color: #222; text-align: center;
  line-height: 2rem; box-shadow: 0 0 3px #000;
}
.wipe {
  position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize; appearance: none; touch-action: pan-y;
}
.wipe::-webkit-slider-thumb { appearance: none; width: 1px; height: 100%; }
.wipe::-moz-range-thumb { width: 1px; height: 100%; border: 0; }
.wipe:focus-visible + .bar { background: #ffd60a; outline: 2px solid #ffd60a; }
.sides { display: flex; flex-wrap: wrap; justify-content: space-between; gap: .5rem; }
.sides > div { display: flex; }
.sides button {
  font: inherit; font-size: .85rem; padding: .3rem .7rem; border: 1px solid var(--line);
  margin-left: -1px; background: var(--paper); color: var(--ink); cursor: pointer;
}
.sides button[aria-pressed="true"] { background: var(--ink); color: var(--paper); }
:focus-visible { outline: 2px solid var(--s0); outline-offset: 2px; }
@media (max-width: 40rem) { .facts > div { grid-template-columns: 1fr; } }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .sides, .bar::after { display: none; }
  h2, h3, h4 { break-after: avoid; }
  .scroll { overflow: visible; }
  tr, .cards > div { break-inside: avoid; }
}
"""

# The range input lies over the picture, so that mouse, finger and keys move it by themselves.
SCRIPT = """
for (const figure of document.querySelectorAll(".compare")) {
  const stage = figure.querySelector(".stage"), wipe = figure.querySelector(".wipe");
  const follow = () => stage.style.setProperty("--at", wipe.value + "%");
  wipe.addEventListener("input", follow);
  follow();
  for (const button of figure.querySelectorAll("button"))
    button.addEventListener("click", () => {
      const { side, layer } = button.dataset;
      for (const other of button.parentElement.children)
        other.setAttribute("aria-pressed", other === button);
      for (const picture of stage.querySelectorAll(".layer"))
        picture.classList.toggle(side, picture.dataset.layer === layer);
    });
}
"""
