import type { CellAnswer } from '../../src/usage/cell.ts';
import { HOURS } from '../../src/usage/streams/payload-hours.ts';
import { answer, FINAL, row, values } from '../database/answers.ts';
import { addTracking, type Ledger } from '../database/ledger.ts';

/** An organization of which some streams are tracked for a range of days. */
export async function trackedOrg(
  ledger: Ledger,
  streams: readonly string[],
  { from, to }: { from: string; to: string },
): Promise<string> {
  const orgId = await ledger.newOrg();
  await addTracking(ledger.db, orgId, { streams, days: `{[${from},${to}]}` });
  return orgId;
}

/** Device counts of a day, read late enough to be final: created, deleted, total. */
export function devices(orgId: string, day: string, ...numbers: readonly number[]): CellAnswer {
  return answer(values(row(...numbers)), { orgId, day, age: FINAL });
}

/** Payloads of a day by source, not final. */
export function sources(orgId: string, day: string, ...counts: readonly number[]): CellAnswer {
  const facts = counts.map((count, index) => ({ key: ['timer', `source.${index}`], values: [count] }));
  return answer(values(...facts), { orgId, day, stream: 'payload_sources' });
}

/** Payloads of a day by hour, not final: as many billable ones, all and bytes as `valuesOf` says of each hour. */
export function hours(
  orgId: string,
  day: string,
  valuesOf: (hour: number) => readonly [number, number, number],
): CellAnswer {
  const facts = HOURS.map((key, hour) => ({ key: [key], values: valuesOf(hour) }));
  return answer(values(...facts), { orgId, day, stream: 'payload_hours' });
}
