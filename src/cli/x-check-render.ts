import { renderTable } from '../terminal/table.ts';
import { type Line, line, type Span, styled } from '../terminal/text.ts';
import type { Check } from './check-list.ts';
import type { ProbeAnswer } from './check-probe.ts';

const INDENT = ' '.repeat(10);

/** A check as a line for people, with its hint below. */
export function renderCheck(check: Check): Line[] {
  const { name, message, hint } = check;
  // Errors of Losant's begin with the action, which is the name.
  const shown = message.startsWith(name) ? message : `${name}: ${message}`;
  const hints = hint === null ? [] : hint.split('\n').map((each) => `${INDENT}${each}`);
  return [line`${verdictOf(check)}  ${shown}`, ...hints];
}

function verdictOf({ ok, hint }: Check): Span {
  if (!ok) return styled('red', 'FAILED');
  return hint === null ? styled('green', 'ok    ') : styled('yellow', 'look  ');
}

export function renderProbe(instanceId: string, answers: readonly ProbeAnswer[]): Line[] {
  const rows = answers.flatMap(({ question, answer, touches }) => [
    [question, answer],
    ['', styled('dim', `touches ${touches}`)],
  ]);
  return ['', `How the API of instance ${instanceId} behaves:`, ...renderTable({ rows }), ''];
}

export function renderEnd(failed: number): Line {
  if (failed === 0) return styled('green', 'Everything works.');
  return styled('red', failed === 1 ? 'One check failed.' : `${failed} checks failed.`);
}
