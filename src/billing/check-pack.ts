/** Checks a proof pack against itself: that every number follows from the days, and every day from its cells. */
import { Organization } from './check-organization.ts';
import {
  BEHIND,
  BrokenFileError,
  METRICS,
  type PackRow,
  RowsByOrganization,
  readPackFile,
} from './pack-files.ts';
import { type Billed, type Checking, type Report, show } from './pack-sums.ts';
import type { Pack, PackProblem } from './verify.ts';

/** The most problems reported for one pack; the rest would be more of the same. */
export const PROBLEMS_MAX = 100;

/**
 * `checkPack` checks every sum and count of a pack, organization by organization, so that memory stays flat.
 * `billed` is updated with what the pack says. It is null if the preceding statements are not there,
 * so that an adjustment's differences cannot be checked.
 */
export async function checkPack(pack: Pack, billed: Billed | null): Promise<PackProblem[]> {
  const problems: PackProblem[] = [];
  const report: Report = (file, problem) => {
    if (problems.length < PROBLEMS_MAX) problems.push({ file: pack.fileOf(file), problem });
  };
  try {
    const blocked = await checkBlockers(pack, report);
    await checkOrganizations(pack, { billed, blocked, report });
  } catch (error) {
    if (!(error instanceof BrokenFileError)) throw error;
    report(error.file, error.message);
  }
  return problems;
}

async function readAll(pack: Pack, name: string): Promise<PackRow[]> {
  const rows: PackRow[] = [];
  for await (const page of readPackFile(pack, name)) rows.push(...page);
  return rows;
}

/** `checkBlockers` returns the organizations that were accepted as blocked; null stands for all of them. */
async function checkBlockers(pack: Pack, report: Report): Promise<Set<string | null>> {
  const blocked = new Set<string | null>();
  let rows = 0;
  for (const { position, org_id, first_day, last_day } of await readAll(pack, 'blockers.csv')) {
    rows += 1;
    if (position !== `${rows}`)
      report('blockers.csv', `line ${rows + 1}: position ${position} is not ${rows}`);
    if ((first_day ?? '') > (last_day ?? ''))
      report('blockers.csv', `line ${rows + 1}: its days are reversed`);
    blocked.add(org_id ?? null);
  }
  const { reason } = pack.manifest.statement;
  if (reason === null && rows > 0) report('blockers.csv', 'it has blockers, and the manifest no reason');
  if (reason !== null && rows === 0) report('blockers.csv', 'it has no blocker, and the manifest a reason');
  return blocked;
}

async function checkOrganizations(pack: Pack, checking: Checking): Promise<void> {
  const { manifest } = pack;
  const lines = new RowsByOrganization(readPackFile(pack, 'lines.csv'));
  const behind = new Map(BEHIND.map((name) => [name, new RowsByOrganization(readPackFile(pack, name))]));
  const totals = new Totals();
  for (let orgId = await lines.peek(); orgId !== null; orgId = await lines.peek()) {
    for (const [name, rows] of behind) await reportStrays(name, rows, orgId, checking.report);
    const taken = await lines.take(orgId);
    totals.add(taken);
    const files = new Map<string, PackRow[]>();
    for (const [name, rows] of behind) files.set(name, await rows.take(orgId));
    new Organization(pack, { orgId, lines: taken, files, checking }).check();
  }
  for (const [name, rows] of behind) await reportStrays(name, rows, null, checking.report);
  totals.compare(manifest.totals, checking.report);
  if (totals.orgs !== manifest.statement.orgs) {
    checking.report('manifest.json', `orgs is ${manifest.statement.orgs}, lines.csv has ${totals.orgs}`);
  }
}

/** Reports the rows of organizations that have no line, up to the next one that has. */
async function reportStrays(
  name: string,
  rows: RowsByOrganization,
  until: string | null,
  report: Report,
): Promise<void> {
  for (
    let next = await rows.peek();
    next !== null && (until === null || next < until);
    next = await rows.peek()
  ) {
    await rows.take(next);
    report(name, `organization ${next} has no line in lines.csv`);
  }
}

/** The sums over all organizations. */
class Totals {
  readonly #metrics = new Map<string, { orgs: number; quantity: bigint | null }>();
  orgs = 0;

  add(lines: readonly PackRow[]): void {
    this.orgs += 1;
    const quantities = Map.groupBy(lines, ({ metric }) => metric as string);
    for (const [metric, each] of quantities) {
      const known = this.#metrics.get(metric) ?? { orgs: 0, quantity: null };
      known.orgs += 1;
      for (const { quantity } of each) {
        if (quantity != null) known.quantity = (known.quantity ?? 0n) + BigInt(quantity);
      }
      this.#metrics.set(metric, known);
    }
  }

  compare(said: Pack['manifest']['totals'], report: Report): void {
    const expected = [...METRICS].flatMap(([metric, { unit, kind }]) => {
      const sum = this.#metrics.get(metric);
      if (sum === undefined) return [];
      return [
        { metric, unit, kind, orgs: sum.orgs, quantity: sum.quantity === null ? null : `${sum.quantity}` },
      ];
    });
    for (const [index, total] of expected.entries()) {
      const found = said[index];
      if (JSON.stringify(found) === JSON.stringify(total)) continue;
      const { metric, quantity, orgs } = total;
      report(
        'manifest.json',
        `totals: ${metric} of lines.csv is ${show(quantity)} of ${orgs} organizations; the manifest has ${show(found?.quantity)} of ${found?.orgs ?? 0} for ${found?.metric ?? 'nothing'}`,
      );
      return;
    }
    if (said.length > expected.length) {
      report('manifest.json', `totals: ${said[expected.length]?.metric} has no line in lines.csv`);
    }
  }
}
