import { backfill } from './backfill.ts';
import type { Command } from './command.ts';
import { completionOf } from './completion.ts';
import { migrate } from './migrate.ts';
import { run } from './run.ts';
import { statement } from './statement.ts';
import { waive } from './waive.ts';
import { check } from './x-check.ts';
import { close } from './x-close.ts';
import { demo } from './x-demo.ts';
import { explain } from './x-explain.ts';
import { exportFile } from './x-export.ts';
import { gaps } from './x-gaps.ts';
import { init } from './x-init.ts';
import { orgDelete } from './x-org-delete.ts';
import { orgSet } from './x-org-set.ts';
import { orgShow } from './x-org-show.ts';
import { reconcile } from './x-reconcile.ts';
import { simulator } from './x-simulator.ts';
import { status } from './x-status.ts';
import { verify } from './x-verify.ts';
import { worker } from './x-worker.ts';

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
