import type { OrgDay, Sample } from '../database/read/sample.ts';
import { type DayRange, dayStartMs } from '../usage/day.ts';

/** What the demo did, for people and for `--json`. */
export interface DemoResult extends Sample, DayRange {
  readonly folder: string;
  /** For DATABASE_URL. */
  readonly databaseUrl: string;
  readonly instanceId: string;
  readonly durationMs: number;
  /** Lines that go on from here, each to be run as it is. */
  readonly next: readonly NextStep[];
}

export interface NextStep {
  readonly why: string;
  readonly commands: readonly string[];
}

const BAR_WIDTH = 40;
const CHART_DAYS = 15;

/** The result for people: what lies where, an organization's day, a chart. */
export function renderDemo(result: DemoResult): string {
  return [
    renderHead(result),
    renderTables(result),
    renderLedger(result.cells),
    result.orgDay ? renderOrgDay(result.orgDay) : '',
    renderChart(result.payloadsByDay.slice(-CHART_DAYS)),
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function renderHead({ from, to, payloadsByDay, tables, requests, durationMs, folder }: DemoResult): string {
  const seconds = (durationMs / 1_000).toFixed(1);
  return `Loaded ${payloadsByDay.length} days (${from} to ${to}) of ${tables.organizations} organizations with ${requests} requests, in ${seconds} s.
They are in ${folder}, an embedded Postgres. The folder stays until you delete it.
`;
}

function renderTables({ tables }: DemoResult): string {
  const rows = Object.entries(tables).map(([table, count]) => [`losant_usage.${table}`, showNumber(count)]);
  return renderColumns(['table', 'rows'], rows);
}

function renderLedger(cells: Sample['cells']): string {
  const states = Object.entries(cells).map(([state, count]) => `${showNumber(count)} ${state}`);
  const total = Object.values(cells).reduce((sum, count) => sum + count, 0);
  return `The ledger has ${showNumber(total)} cells (organization × stream × day): ${states.join(', ')}.
A day becomes final when it is read 72 hours or more after its end; until then it is read again.
`;
}

function renderOrgDay({ name, orgId, day, numbers }: OrgDay): string {
  const rows = numbers.map(({ stream, metric, value }, index) => [
    numbers[index - 1]?.stream === stream ? '' : stream,
    metric,
    showNumber(value),
  ]);
  return `${day} of ${name} (${orgId}):\n\n${renderColumns(['stream', 'what', 'number'], rows)}`;
}

function renderChart(days: Sample['payloadsByDay']): string {
  const most = Math.max(1, ...days.map(({ payloads }) => payloads));
  const widest = showNumber(most).length;
  const lines = days.map(({ day, payloads }) => {
    const bar = '█'.repeat(Math.ceil((payloads / most) * BAR_WIDTH));
    return `  ${day} ${weekday(day)}  ${showNumber(payloads).padStart(widest)}  ${bar}`;
  });
  return `Payloads per day, all organizations:\n\n${lines.join('\n')}\n`;
}

/** What to try next, once the demo has ended. */
export function renderNext({ next }: DemoResult): string {
  const steps = next.map(({ why, commands }) => `# ${why}\n${commands.join('\n')}\n`);
  return `The simulated Losant of the demo is gone, the database is not. To go on:\n\n${steps.join('\n')}`;
}

/** Columns aligned; the last one, of numbers, to the right. */
function renderColumns(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (row: readonly string[]) => {
    const cells = row.map((cell, column) => {
      const width = widths[column] ?? 0;
      return column === row.length - 1 ? cell.padStart(width) : cell.padEnd(width);
    });
    return `  ${cells.join('  ')}`;
  };
  return `${[head, ...rows].map(line).join('\n')}\n`;
}

function showNumber(value: number): string {
  return value.toLocaleString('en-US');
}

function weekday(day: string): string {
  return ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][new Date(dayStartMs(day)).getUTCDay()] ?? '';
}
