import { createHash } from 'node:crypto';

/** Colours by purpose, light and dark; text on `ground` and `panel` has a contrast of at least 4.5. */
export const COLORS = {
  ground: ['#ffffff', '#14181f'],
  panel: ['#f5f7fa', '#1c222c'],
  text: ['#1c2430', '#dde3ec'],
  quiet: ['#55606f', '#9fadbf'],
  good: ['#146c2e', '#7ed894'],
  bad: ['#a40e26', '#ff8f9b'],
  warn: ['#7a4b00', '#f0c060'],
  link: ['#0a58b0', '#8fbcff'],
  line: ['#d8dee8', '#333c49'],
  mark: ['#3d6fb4', '#7aa7e8'],
  blue: ['#2463ae', '#5b95e6'],
  orange: ['#e8941a', '#f0a63c'],
  green: ['#0b7a5e', '#2f9e80'],
  sky: ['#63aee8', '#a3d2f7'],
  wine: ['#9c3a78', '#c96ba8'],
  sand: ['#c8b04a', '#e6d27c'],
  grey: ['#8590a0', '#7d8898'],
} as const;

const [LIGHT, DARK] = [0, 1].map((shade) =>
  Object.entries(COLORS)
    .map(([name, shades]) => `--${name}: ${shades[shade]};`)
    .join(' '),
);

/**
 * Styles of the map of coverage: it is as wide as its days, in a box that scrolls by itself on narrow
 * screens and begins with the newest days.
 */
const MAP_STYLE = `
.map { direction: rtl; position: relative; overflow-x: auto; margin: .5rem 0 } .map:focus-visible, .scroll:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.grid { direction: ltr; table-layout: fixed; border-collapse: separate; border-spacing: 0 } .grid-30 { min-width: 67rem } .grid-90 { min-width: 164rem }
.grid .names { width: 15rem } .grid th { border: 0; padding: .1rem .2rem; font-size: .8rem; font-weight: 400; white-space: nowrap; text-align: center }
.grid thead th { color: var(--quiet); vertical-align: bottom; overflow: visible } .grid .month { text-align: left; border-left: 1px solid var(--line); padding-left: .3rem; font-weight: 600 } .month span:not(.hidden) { position: sticky; left: 15.5rem }
.grid .name { position: sticky; left: 0; z-index: 1; background: var(--ground); text-align: left; overflow: hidden; text-overflow: ellipsis; color: var(--text); padding-right: .6rem; font-size: .9rem }
.grid td { border: 1px solid var(--ground); padding: 0; height: 1.7rem; background-clip: padding-box; text-align: center }
.grid td a { display: block; min-width: 24px; height: 1.65rem; line-height: 1.65rem; font-weight: 700; text-decoration: none } .grid td a:hover { outline: 2px solid var(--text) } .grid td a:focus-visible { outline-offset: 0; position: relative; z-index: 2 }
.grid, .key, .heat { forced-color-adjust: none }
.key { display: inline-block; width: 1rem; height: 1rem; line-height: 1rem; text-align: center; font-weight: 700; font-size: .8rem; vertical-align: -2px; margin-left: .75rem }
.whole:first-child > .key { margin-left: 0 }
.m-good { background: color-mix(in srgb, var(--mark) 70%, var(--ground)) } .m-untracked { background: none } .grid td a { color: var(--text) }
td.m-calm a, .key.m-calm { background: linear-gradient(to top, color-mix(in srgb, var(--mark) 70%, var(--ground)) 45%, var(--line) 45%) }
td.m-open a, .key.m-open { background: var(--line) }
td.m-known a, .key.m-known { background: repeating-linear-gradient(45deg, var(--quiet) 0 2px, var(--line) 2px 5px) }
td.m-bad a, .key.m-bad { background: var(--bad); color: var(--ground) }
.key.m-untracked { border: 1px solid var(--line) }
@media (max-width: 52rem) { .grid .names { width: 9rem } .month span:not(.hidden) { left: 9.5rem } .grid-30 { min-width: 61rem } .grid-90 { min-width: 157rem } }
`;

/** Styles of stories and lists of facts. */
const STORY_STYLE = `
.story { margin: 1rem 0 } h3 { font-size: 1rem; margin: 1rem 0 .25rem } .story ul { margin: .25rem 0; padding-left: 1.2rem }
.list { grid-template-columns: 12rem minmax(0, 1fr); margin: .75rem 0 } .list dd { text-align: left }
code, pre { font: .87rem/1.5 ui-monospace, monospace } code { background: var(--ground); border: 1px solid var(--line); border-radius: 4px; padding: .1rem .35rem; display: inline-block }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--ground); border: 1px solid var(--line); border-radius: 4px; padding: .5rem .75rem; margin: .5rem 0 }

.story .facts { margin: .75rem 0; gap: .5rem 1.5rem } .facts .long { grid-column: 1 / -1 } .story .facts dd { text-align: left }
.commands { grid-template-columns: minmax(0, 1fr); gap: 0; margin: .5rem 0 } .commands dd { text-align: left; margin: .1rem 0 .6rem } .commands code { display: block; padding: .35rem .6rem; user-select: all }
progress { width: 100%; height: .75rem; accent-color: var(--mark) } summary { width: max-content; max-width: 100% } .story table { margin: .5rem 0; width: auto; min-width: min(100%, 24rem) }
@media (max-width: 48rem) { .list { grid-template-columns: 1fr; gap: 0 } .list dd { margin-bottom: .4rem } .story tr { background: var(--ground) } }
`;

/** The style sheet. Wide tables become cards on narrow screens, where each cell shows its column's name. */
export const STYLE = `
:root { color-scheme: light dark; ${LIGHT} }
@media (prefers-color-scheme: dark) { :root { ${DARK} } }
* { box-sizing: border-box }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 80rem; padding: 0 1rem 2rem; background: var(--ground); color: var(--text); overflow-wrap: anywhere }
a { color: var(--link) } a:focus-visible, input:focus-visible, button:focus-visible, select:focus-visible, summary:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: center; padding: .5rem 0; border-bottom: 1px solid var(--line) } header nav { flex: 1 1 auto } header nav a { padding: .2rem 0; min-height: 24px }
.skip { position: absolute; left: -99rem } .skip:focus { left: 1rem; top: .25rem; background: var(--ground); padding: .4rem .8rem; z-index: 9 } main:focus { outline: 0 } main nav a { display: inline-block; line-height: 24px }
form.find { margin: 0; flex: 0 1 17rem } .find input { width: 100% }
.attention { margin: .5rem 0; padding: 0; list-style: none } .attention li { padding: .35rem .75rem; margin: .3rem 0; border-left: 4px solid var(--line); background: var(--panel) } .attention li { line-height: 24px } .attention li > a:only-child { display: inline-block; min-height: 24px } .attention .on-bad { border-color: var(--bad) } .attention .on-warn { border-color: var(--warn) } .attention .on-good { border-color: var(--good) }
.halves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)); gap: 0 2rem } .halves > div { min-width: 0 }
.line { display: inline-flex; align-items: center; gap: .3rem; max-width: 15rem; white-space: nowrap } .line a { overflow: hidden; text-overflow: ellipsis; line-height: 24px } .copy { min-width: 24px; height: 24px; padding: 0 .2rem; border-color: transparent; background: none; color: var(--quiet); font-size: .8rem; line-height: 1 } @media (scripting: none) { .copy { display: none } }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(2.9rem, 1fr)); gap: .2rem; margin: .5rem 0; padding: 0; list-style: none; font-size: .8rem; text-align: center } .strip li > * { display: block; padding: .2rem 0; background: var(--panel); color: var(--text); text-decoration: none }
header strong { font-size: 1.05rem } nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem }
nav a[aria-current] { color: var(--text); text-decoration: none; font-weight: 600 }
h1 { font-size: 1.4rem; line-height: 1.3; margin: 1.25rem 0 .25rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p { margin: .35rem 0 } .quiet { color: var(--quiet) } .good { color: var(--good) } .bad { color: var(--bad); font-weight: 600 } .warn { color: var(--warn); font-weight: 600 } .calm { color: var(--text) } .known { color: var(--quiet); font-weight: 600 } .open { color: var(--quiet) }
time, .whole { white-space: nowrap; overflow-wrap: normal }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem; margin: 1rem 0 }
.card { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .75rem 1rem }
.card h2 { margin: 0 0 .35rem } .cards .card p { display: inline-block; margin: 0 1rem .25rem 0 } dl { display: grid; grid-template-columns: auto 1fr; gap: .15rem 1rem; margin: .5rem 0 0 }
.cards .card dl { grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .6rem 1.25rem } .cards .card dl div { display: grid; grid-template-rows: 1fr auto } .cards .card dt { font-size: .87rem } .cards .card dd { text-align: left; font-weight: 600 }
dt { color: var(--quiet) } dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums }
table { border-collapse: collapse; width: 100% } caption { text-align: left; padding: .25rem 0 }
th, td { text-align: left; padding: .3rem .45rem; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: normal }
th { color: var(--quiet); font-weight: 600; vertical-align: bottom; background: var(--ground) } th a { color: inherit; display: inline-block; min-height: 24px } td a { line-height: 24px } td { white-space: nowrap; vertical-align: baseline } td.t { white-space: normal; overflow-wrap: anywhere; min-width: 9rem }
.n { text-align: right; font-variant-numeric: tabular-nums }
form { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem; margin: 1rem 0 } .wide { flex: 1 1 12rem; max-width: 24rem; display: flex }
input, button, select { font: inherit; color: inherit; background: var(--panel); border: 1px solid var(--quiet); border-radius: 4px; padding: .3rem .6rem }
input { flex: 1 1 12rem; max-width: 24rem } svg { display: block } .spark { stroke: var(--mark); fill: none; stroke-width: 1.5; stroke-linecap: round }
.spark-gap { fill: var(--line) } .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
.heat { display: flex; flex-wrap: wrap; gap: 1rem 2rem; margin: .75rem 0 } .weeks { margin: 0; max-width: 100%; overflow-x: auto; direction: rtl } .weeks > * { direction: ltr } .weeks text { font-size: 11px; fill: var(--quiet) } .weeks a:hover .heat-ground { stroke: var(--text); stroke-width: 2 } .sample { display: inline; vertical-align: -3px; margin-left: .6rem }
.heat-ground { fill: var(--panel) } .heat-good, .heat-calm, .heat-open { fill: var(--mark) } .heat-known { fill: var(--quiet) } .heat-bad { fill: var(--bad) } summary { cursor: pointer }
nav a[aria-current="true"] { color: var(--text); text-decoration: none; font-weight: 600 }
.months { display: flex; flex-wrap: wrap; gap: .1rem 1.5rem; margin: .5rem 0 } .months .whole { margin-right: .6rem } code { font: .92em ui-monospace, monospace }
.bar { display: inline-block } .bar-room { fill: var(--line) } .bar-used { fill: var(--blue) } .bar-over { fill: var(--bad) } .bar-mark { fill: var(--text) }
.checks { list-style: none; margin: .75rem 0; padding: 0; display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr)); gap: .5rem } .checks li { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .4rem .75rem } .checks a { display: inline-block; line-height: 24px }
.steps { margin: .5rem 0 1rem; padding-left: 1.2rem }
.facts { grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); gap: .5rem 1.5rem; margin: 1rem 0 1.5rem } .facts dd { text-align: left }
.facts .tags { grid-column: span 2 } .tag { display: inline-block; border: 1px solid var(--line); border-radius: 4px; padding: 0 .4rem; margin: .1rem .15rem .1rem 0; background: var(--panel) }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1.5rem 2rem; margin: 1rem 0 }
.chart { margin: 0; min-width: 0; display: grid; grid-row: span 5; grid-template: subgrid / minmax(0, 1fr); row-gap: 0 } .chart:first-child { grid-column: 1 / -1 } h3 { font-size: 1.02rem; margin: 0 } .axis { margin: .5rem 0; font-size: .8rem }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; list-style: none; margin: .35rem 0; padding: 0; font-size: .87rem } .swatch { display: inline; vertical-align: -1px; margin-right: .2rem }
.plot { display: flex; container-type: inline-size } @container (max-width: 30rem) { .minor { display: none } } .plot > svg:last-child:not(.fixed) { flex: 1; min-width: 0 } .plot svg { overflow: visible } .plot text { font-size: 12px; fill: var(--quiet) }
.plot.scroll { padding-top: .6rem } .fixed { flex: none } .faint { stroke: var(--quiet); stroke-width: 1.5; stroke-dasharray: 3 3; fill: none } .limit { stroke: var(--bad); stroke-width: 2; stroke-dasharray: 5 3 } .plot .limit-name { fill: var(--bad); font-weight: 600 }
.rule { stroke: var(--line) } .curve { stroke: var(--blue); fill: none; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round }
.day, .hit { fill: transparent } .day:hover, .hit:hover { fill: var(--text); opacity: .12 } .zeros { fill: var(--ground); stroke: var(--text); stroke-width: 1.5 }
.not-stored { fill: var(--panel) } .hatch { stroke: var(--quiet); stroke-width: 1.2 } .mark { stroke: var(--ground); stroke-width: 1.2; stroke-opacity: .75; fill: none }
.series-0 { fill: var(--blue) } .series-1 { fill: var(--orange) } .series-2 { fill: var(--green) } .series-3 { fill: var(--sky) } .series-4 { fill: var(--wine) } .series-5 { fill: var(--sand) } .series-6 { fill: var(--grey) }
.days th, .days td::before { overflow-wrap: anywhere } .days td { white-space: normal }
.week td { padding: 0 } .week td span { display: block; padding: .15rem .6rem } .week td:first-child span { color: var(--quiet) }
${[1, 2, 3, 4, 5].map((shade) => `.week .shade-${shade} { background: color-mix(in srgb, var(--mark) ${shade * 9}%, var(--ground)) }`).join(' ')}
.scroll { overflow-x: auto; position: relative } @media (min-width: 90rem) { .scroll { overflow: visible } .scroll thead th { position: sticky; top: 0; z-index: 1 } .halves .scroll, .charts .scroll { overflow-x: auto } }
.yesterday { font-size: 1.1rem; margin: .5rem 0 1rem }
@media print {
  :root { color-scheme: light; ${LIGHT} }
  header nav, form, .skip, .copy, details > summary, nav[aria-label] { display: none } body { max-width: none; font-size: 11px; padding: 0 } a { color: inherit; text-decoration: none } td a { line-height: inherit } tr, .card, figure { break-inside: avoid } thead { display: table-header-group } .scroll, .map { overflow: visible }
  time[title]::after { content: ' (' attr(title) ')' }
}
@media (min-width: 37.5rem) and (max-width: 60rem) { .g { display: none } }
@media (max-width: 37.5rem) {
  .facts div { display: flex; gap: 1rem } .facts .tags { grid-column: auto } .facts dt { flex: 0 0 8rem } .facts { gap: .15rem }
  table:not(.grid) thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
  table:not(.grid), table:not(.grid) :is(caption, tbody, tr, td) { display: block } table:not(.grid) tr { border: 1px solid var(--line); border-radius: 6px; background: var(--panel); padding: .4rem .75rem; margin: .5rem 0 }
  table:not(.grid) :is(td, td.t) { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .15rem 0; text-align: right; min-width: 0 }
  td .whole { white-space: normal; overflow-wrap: anywhere }
  table:not(.grid) td::before { content: attr(data-label); color: var(--quiet); text-align: left; white-space: normal; flex: none; max-width: 45% }
  table:not(.grid) td > span { min-width: 0; overflow-wrap: anywhere } .line { max-width: 100% } td .whole { white-space: normal }
}
${MAP_STYLE}${STORY_STYLE}`;

/** The source for the Content-Security-Policy: the only style that may apply. */
export const STYLE_SOURCE = `'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`;
