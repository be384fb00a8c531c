import { createHash } from 'node:crypto';

/** Colors by purpose, light and dark; text on `ground` and `panel` has a contrast of at least 4.5. */
const COLORS = {
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
} as const;

const [LIGHT, DARK] = [0, 1].map((shade) =>
  Object.entries(COLORS)
    .map(([name, shades]) => `--${name}: ${shades[shade]};`)
    .join(' '),
);

const TEXT = `
* { box-sizing: border-box }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 90rem; padding: 0 1rem 2rem;
  background: var(--ground); color: var(--text); overflow-wrap: anywhere }
h1 { font-size: 1.4rem; line-height: 1.3; margin: 1.25rem 0 .25rem }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem } h3 { font-size: 1rem; margin: 1rem 0 .25rem }
p { margin: .35rem 0 } time, .whole { white-space: nowrap; overflow-wrap: normal }
a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
:is(p, dd, th, .attention, .legend) a { text-decoration: underline var(--line); text-underline-offset: 3px }
:is(a, input, button, select, summary, [tabindex]):focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.quiet, .t-lost, .t-pending { color: var(--quiet) } .good, .t-good { color: var(--good) }
.bad, .t-bad { color: var(--bad); font-weight: 600 } .warn { color: var(--warn); font-weight: 600 }
code, pre { font: .87rem/1.5 ui-monospace, monospace }
pre, .commands code { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; padding: .2rem .5rem;
  min-width: 0; white-space: pre-wrap; margin: 0 }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
summary { cursor: pointer; width: max-content; max-width: 100%; padding: .2rem 0 }
`;

const FRAME = `
header, nav, form, .commands li, .keys, .legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem }
header { align-items: center; padding: .5rem 0; border-bottom: 1px solid var(--line) } header nav { flex: 1 1 auto }
nav a { display: inline-block; line-height: 24px }
nav a[aria-current] { color: var(--text); font-weight: 600; box-shadow: 0 2px var(--mark) }
.skip { position: absolute; left: -99rem } main:focus { outline: 0 }
.skip:focus { left: 1rem; top: .25rem; background: var(--ground); padding: .4rem .8rem; z-index: 9 }
form { align-items: end; margin: .75rem 0 } form.find { margin: 0; flex: 0 1 17rem }
form label { min-width: min(46%, 7rem); display: grid; font-size: .87rem; color: var(--quiet) }
form .wide { flex: 1 1 14rem; max-width: 26rem }
input, button, select { font: inherit; font-size: .95rem; color: var(--text); background: var(--panel);
  border: 1px solid var(--quiet); border-radius: 4px; padding: .3rem .6rem; min-height: 2.3rem; width: 100%;
  min-width: 0 }
button { width: auto }
.attention, .commands, .legend { list-style: none; margin: .35rem 0; padding: 0 }
.commands code, .id { user-select: all }
.commands li { flex-wrap: nowrap; margin: .2rem 0 }
.attention li { padding: .35rem .75rem; margin: .3rem 0; border-left: 4px solid var(--line); background: var(--panel);
  line-height: 24px }
.attention .on-bad, .cell.on-bad { border-color: var(--bad) } .attention .on-warn { border-color: var(--warn) }
.attention .on-good { border-color: var(--good) }
.stats, .facts, .halves { display: grid; gap: .75rem 1.5rem; margin: .75rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr)) }
.halves { grid-template-columns: repeat(auto-fit, minmax(min(100%, 42rem), 1fr)) } .halves > * { min-width: 0 }
.stats div { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .6rem .8rem }
dt, .stats .quiet, .legend { font-size: .87rem } dt { color: var(--quiet) } dd { margin: 0 } .stats dd { display: grid }
.stats strong { font-size: 1.35rem; font-variant-numeric: tabular-nums }
progress { width: 100%; height: .75rem; accent-color: var(--mark) }
.cell { border-left: 4px solid var(--line); padding-left: .9rem; margin: 1.25rem 0 }
`;

/** On narrow screens, tables scroll horizontally, and their first column stays. */
const TABLES = `
.scroll { overflow-x: auto; position: relative; margin: .5rem 0 } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: baseline;
  overflow-wrap: normal }
th { color: var(--quiet); font-weight: 600; vertical-align: bottom; background: var(--ground) }
th a { color: inherit; display: inline-block; min-height: 24px } td a { line-height: 24px }
td { white-space: nowrap } td.t { white-space: normal; overflow-wrap: anywhere; min-width: 16rem }
.n { text-align: right; font-variant-numeric: tabular-nums } .n + :not(.n) { padding-left: .6rem }
tbody tr:hover td { background: var(--panel) }
:is(th, td):first-child { position: sticky; left: 0; z-index: 1; background: var(--ground) }
td:first-child { max-width: 16rem } .bar { display: inline-block; vertical-align: -1px; margin-left: .4rem }
${[9, 18, 27, 36, 45].map((share, index) => `.shade-${index + 1} { ${mix('mark', share)} }`).join(' ')}
.bar-room { fill: var(--line) } .bar-used { fill: var(--mark) } .bar-over { fill: var(--bad) }
@media (max-width: 37.5rem) { td:first-child { max-width: 9rem; white-space: normal; overflow-wrap: break-word } }
`;

/** The coverage map is as wide as its days, in a box that scrolls and starts at the newest days. */
const MAP = `
.map { direction: rtl; overflow-x: auto; margin: .5rem 0 } .grid { direction: ltr; table-layout: fixed;
  border-collapse: separate; border-spacing: 0; forced-color-adjust: none; min-width: 60rem }
.grid .names { width: 10rem }
.grid th { border: 0; padding: .1rem .2rem; font-size: .8rem; font-weight: 400; text-align: center; overflow: hidden }
.grid .name { text-align: left; text-overflow: ellipsis; white-space: nowrap; font-size: .9rem }
.grid td { border: 1px solid var(--ground); padding: 0; height: 1.7rem; text-align: center }
.grid td a, .key { display: block; min-width: 24px; line-height: 1.6rem; font-size: .8rem; font-weight: 700;
  color: var(--text) }
.key { display: inline-block; text-align: center; forced-color-adjust: none }
.m-good { ${mix('good', 22)} } .m-lost { background: var(--line) }
.m-calm { ${mix('mark', 30)} } .m-pending { background: var(--panel) }
${[18, 34, 52, 72].map((share, index) => `.s-${index + 1}.m-bad { ${mix('bad', share)} }`).join(' ')}
`;

function mix(color: keyof typeof COLORS, share: number): string {
  return `background: color-mix(in srgb, var(--${color}) ${share}%, var(--ground))`;
}

const CHARTS = `
svg { display: block } .chart { margin: .75rem 0 } .plot { display: flex; container-type: inline-size }
@container (max-width: 30rem) { .minor { display: none } } .plot > svg:last-child { flex: 1; min-width: 0 }
.plot svg { overflow: visible } .plot text { font-size: 12px; fill: var(--quiet) }
.swatch { display: inline; margin-right: .4rem }
.rule { stroke: var(--line) } .value { fill: var(--mark) } .day { fill: transparent }
.day:hover { fill: var(--text); opacity: .12 } .not-stored { fill: var(--bad); fill-opacity: .25; stroke: var(--bad) }
.compared { stroke: var(--text); stroke-width: 1.5; stroke-dasharray: 4 3; fill: none }
`;

const PRINT = `
@page { size: A4; margin: 15mm }
@media print {
  :root { color-scheme: light; ${LIGHT} }
  nav, form, .skip, summary { display: none } body { max-width: none; font-size: 11px; padding: 0 }
  a { color: inherit } tr, figure { break-inside: avoid } thead { display: table-header-group }
  .scroll, .map { overflow: visible }
}
`;

export const STYLE = `
:root { color-scheme: light dark; ${LIGHT} }
@media (prefers-color-scheme: dark) { :root { ${DARK} } }
${TEXT}${FRAME}${TABLES}${MAP}${CHARTS}${PRINT}`;

/** The source for the Content-Security-Policy: the only style that may apply. */
export const STYLE_SOURCE = `'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`;
