import { backfill } from './backfill.ts';
import { check } from './check.ts';
import { close } from './close.ts';
import type { Command } from './command.ts';
import { completionOf } from './completion.ts';
import { demo } from './demo.ts';
import { explain } from './explain.ts';
import { exportFile } from './export.ts';
import { gaps } from './gaps.ts';
import { init } from './init.ts';
import { migrate } from './migrate.ts';
import { orgDelete } from './org-delete.ts';
import { orgSet } from './org-set.ts';
import { orgShow } from './org-show.ts';
import { reconcile } from './reconcile.ts';
import { run } from './run.ts';
import { simulator } from './simulator.ts';
import { statement } from './statement.ts';
import { status } from './status.ts';
import { verify } from './verify.ts';
import { waive } from './waive.ts';
import { worker } from './worker.ts';

/** What commands of two words are about, with a summary for help. */
export const things: Readonly<Record<string, string>> = {
  org: 'show, change or delete an organization in Losant',
};

/** Every verb, in the order of help. To add one: its file, and a line here. */
export const commands: readonly Command[] = [
  run,
  worker,
  backfill,
  status,
  gaps,
  explain,
  exportFile,
  reconcile,
  waive,
  close,
  statement,
  verify,
  orgShow,
  orgSet,
  orgDelete,
  init,
  check,
  migrate,
  completionOf(() => commands, things),
  simulator,
  demo,
];
